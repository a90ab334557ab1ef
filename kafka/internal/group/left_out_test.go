package group

import (
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	franzerr "github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/transport"
)

// TestCommitsLeftOut: a partition that the coordinator's answer leaves out, or for which it
// has an error, does not count as one without a commit: the group would start again there.
func TestCommitsLeftOut(t *testing.T) {
	for _, code := range []int16{0, franzerr.UnknownTopicOrPartition.Code, franzerr.UnstableOffsetCommit.Code} {
		bothProtocols(t, 2, func(t *testing.T, b *bed.Bed) {
			if err := b.CreateTopic("other", 1, nil); err != nil {
				t.Fatal(err)
			}
			l := newLedger()
			p := startProducer(b, transport.ProducerConfig{})
			first := startReader(b, l, withOther)
			first.awaitOwned(3)
			for n := range int32(2) {
				b.Delivered(b.Publish(p, n, "handled"))
			}
			l.await(t, 2)
			first.close()
			var honest atomic.Bool
			b.ControlKey(int16(kmsg.OffsetFetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
				b.KeepControl()
				asked := req.(*kmsg.OffsetFetchRequest)
				if honest.Load() || !slices.ContainsFunc(asked.Groups[0].Topics, func(t kmsg.OffsetFetchRequestGroupTopic) bool { return t.Topic == "events" }) {
					return nil, nil, false
				}
				resp := asked.ResponseKind().(*kmsg.OffsetFetchResponse)
				g := kmsg.NewOffsetFetchResponseGroup()
				g.Group = "group"
				topic := kmsg.NewOffsetFetchResponseGroupTopic()
				topic.Topic = "events"
				for _, n := range []int32{0, 1} {
					part := kmsg.NewOffsetFetchResponseGroupTopicPartition()
					part.Partition, part.Offset, part.LeaderEpoch, part.ErrorCode = n, -1, -1, code
					if code != 0 {
						topic.Partitions = append(topic.Partitions, part)
					}
				}
				g.Topics = append(g.Topics, topic)
				resp.Groups = append(resp.Groups, g)
				return resp, nil, true
			})
			second := startReader(b, l, withOther)
			second.await("the other topic", func() bool { return second.ownedOf("other") == 1 })
			time.Sleep(2 * startPatience) // the clock is the bubble's
			if n := second.ownedOf("events"); n != 0 {
				t.Errorf("%d partitions began without what the group has committed", n)
			}
			if s := second.Status(); s.LastError == nil || !strings.Contains(s.LastError.Error(), "events") {
				t.Errorf("status %+v", s)
			}
			honest.Store(true)
			second.await("the rest", func() bool { return second.ownedOf("events") == 2 })
			for n := range int32(2) {
				b.Delivered(b.Publish(p, n, "new"))
			}
			l.await(t, 4)
			l.equals(b, 2)
		})
	}
}

// TestStoredBy: a commit that the response leaves out does not count as stored.
func TestStoredBy(t *testing.T) {
	commits := []transport.Commit{{Partition: transport.Partition{Topic: "events"}}, {Partition: transport.Partition{Topic: "events", Partition: 1}}}
	answer := &kmsg.OffsetCommitResponse{Topics: []kmsg.OffsetCommitResponseTopic{{Topic: "events", Partitions: []kmsg.OffsetCommitResponseTopicPartition{{Partition: 0}}}}}
	stored := StoredBy(commits)
	if err := stored(answer); err == nil || !strings.Contains(err.Error(), "events/1") {
		t.Errorf("%v, want an error that names the second partition", err)
	}
	answer.Topics[0].Partitions = append(answer.Topics[0].Partitions, kmsg.OffsetCommitResponseTopicPartition{Partition: 1})
	if err := stored(answer); err != nil {
		t.Error(err)
	}
}

// TestCommitBeyondAnyLog: a commit of the highest possible offset, which another tool can
// store, is treated like any other beyond the end of the log.
func TestCommitBeyondAnyLog(t *testing.T) {
	bothProtocols(t, 1, func(t *testing.T, b *bed.Bed) {
		b.Delivered(b.Publish(startProducer(b, transport.ProducerConfig{}), 0, "record"))
		commit := transport.Commit{Partition: transport.Partition{Topic: "events"}, Offset: math.MaxInt64, LeaderEpoch: -1}
		if err := Reset(t.Context(), bedclient.Of(b), "group", []transport.Commit{commit}); err != nil {
			t.Fatal(err)
		}
		l := newLedger()
		startReader(b, l)
		l.await(t, 1)
		l.equals(b, 1)
	})
}
