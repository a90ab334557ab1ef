package group

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	franzerr "github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/transport"
)

// leaderless makes lookups of where topic "other" starts fail until mend is called.
func leaderless(b *bed.Bed) (mend func()) {
	var mended atomic.Bool
	b.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		asked := req.(*kmsg.ListOffsetsRequest)
		if mended.Load() || len(asked.Topics) != 1 || asked.Topics[0].Topic != "other" {
			return nil, nil, false
		}
		resp := asked.ResponseKind().(*kmsg.ListOffsetsResponse)
		topic := kmsg.NewListOffsetsResponseTopic()
		topic.Topic = "other"
		for _, p := range asked.Topics[0].Partitions {
			part := kmsg.NewListOffsetsResponseTopicPartition()
			part.Partition, part.ErrorCode = p.Partition, franzerr.LeaderNotAvailable.Code
			topic.Partitions = append(topic.Partitions, part)
		}
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	return func() { mended.Store(true) }
}

// withOther adds topic "other" to those of a reader.
func withOther(cfg *transport.ConsumerConfig) {
	cfg.Topics = append(cfg.Topics, transport.TopicStart{Topic: "other"})
}

// ownedOf counts the partitions of a topic that a reader owns. r.mu is held.
func (r *reader) ownedOf(topic string) (n int) {
	for p := range r.owned {
		if p.Topic == topic {
			n++
		}
	}
	return n
}

// TestTopicWithoutLeader: a topic without a leader is begun once it has one, and holds up no
// other topic. Until then the status says why it is not read.
func TestTopicWithoutLeader(t *testing.T) {
	bothProtocols(t, 4, func(t *testing.T, b *bed.Bed) {
		mend := leaderless(b)
		if err := b.CreateTopic("other", 2, nil); err != nil {
			t.Fatal(err)
		}
		l := newLedger()
		r := startReader(b, l, withOther)
		r.await("the healthy topic", func() bool { return r.ownedOf("events") == 4 })
		b.Delivered(b.Publish(startProducer(b, transport.ProducerConfig{}), 0, "record"))
		l.await(t, 1)
		for range 20 {
			time.Sleep(7 * time.Second) // over many heartbeats; the clock is the bubble's
			s := r.Status()
			if s.LastError == nil || !strings.Contains(s.LastError.Error(), `"other"`) || s.State != "rebalancing" || !r.Alive() {
				t.Fatalf("status %+v", s)
			}
		}
		mend()
		r.await("the other topic", func() bool { return r.ownedOf("other") == 2 })
		for s := r.Status(); s.LastError != nil || s.State != "stable"; s = r.Status() {
			time.Sleep(10 * time.Millisecond) // until Assigned has returned, which nothing signals
		}
	})
}

// TestHandOverWithoutLeader: a member that is assigned a topic without a leader can still hand
// its other partitions over to another member.
func TestHandOverWithoutLeader(t *testing.T) {
	bothProtocols(t, 4, func(t *testing.T, b *bed.Bed) {
		l := newLedger()
		first := startReader(b, l, withOther)
		first.awaitOwned(4)
		leaderless(b)
		if err := b.CreateTopic("other", 2, nil); err != nil {
			t.Fatal(err)
		}
		for first.Status().LastError == nil {
			time.Sleep(100 * time.Millisecond) // until it was assigned the topic, which nothing signals
		}
		second := startReader(b, l, withOther)
		second.await("healthy partitions", func() bool { return second.ownedOf("events") > 0 })
		first.await("the rest", func() bool { return first.ownedOf("events")+second.ownedOf("events") == 4 })
	})
}

// TestHandOverNotBegun: partitions that a member was assigned but has not begun pass to another
// member as soon as the group assigns them to it, even if nothing else moves.
func TestHandOverNotBegun(t *testing.T) {
	bothProtocols(t, 4, func(t *testing.T, b *bed.Bed) {
		mend := leaderless(b)
		if err := b.CreateTopic("other", 2, nil); err != nil {
			t.Fatal(err)
		}
		l := newLedger()
		first := startReader(b, l, withOther)
		first.await("the healthy topic", func() bool { return first.ownedOf("events") == 4 })
		time.Sleep(10 * time.Second) // the clock is the bubble's
		// The broker may or may not move the other topic to a member that reads nothing else.
		// Either way the group is stable before the rebalance timeout.
		second := startReader(b, l, func(cfg *transport.ConsumerConfig) { cfg.Topics = []transport.TopicStart{{Topic: "other"}} })
		time.Sleep(10 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if g, err := b.WaitGroupInfo(ctx, "group", func(g *kfake.GroupInfo) bool { return g.State == "Stable" && len(g.Members) == 2 }); err != nil {
			t.Fatalf("the group is %+v: %v", g, err)
		}
		mend()
		time.Sleep(10 * time.Second) // either of the two begins it
		owned := func(r *reader, topic string) int {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.ownedOf(topic)
		}
		if n := owned(first, "other") + owned(second, "other"); n != 2 || owned(first, "events") != 4 {
			t.Errorf("the members own %d partitions of the other topic, want 2, and the first owns %d of its own, want 4", n, owned(first, "events"))
		}
	})
}

// TestStartsAreAwaitedTogether: a member that waits for another to start several topics checks
// all of them with one request, which names only their first partitions. It does so less and less
// often: otherwise many topics and members would overload the coordinator.
func TestStartsAreAwaitedTogether(t *testing.T) {
	bothProtocols(t, 4, func(t *testing.T, b *bed.Bed) {
		var mended atomic.Bool
		var everything, looks atomic.Int64
		b.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			if asked := req.(*kmsg.ListOffsetsRequest); !mended.Load() {
				resp := asked.ResponseKind().(*kmsg.ListOffsetsResponse)
				for i := range asked.Topics {
					topic := kmsg.NewListOffsetsResponseTopic()
					topic.Topic = asked.Topics[i].Topic
					for _, p := range asked.Topics[i].Partitions {
						part := kmsg.NewListOffsetsResponseTopicPartition()
						part.Partition, part.ErrorCode = p.Partition, franzerr.LeaderNotAvailable.Code
						topic.Partitions = append(topic.Partitions, part)
					}
					resp.Topics = append(resp.Topics, topic)
				}
				return resp, nil, true
			}
			return nil, nil, false
		})
		b.ControlKey(int16(kmsg.OffsetFetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			topics := req.(*kmsg.OffsetFetchRequest).Groups[0].Topics
			firsts := !slices.ContainsFunc(topics, func(t kmsg.OffsetFetchRequestGroupTopic) bool {
				return len(t.Partitions) != 1 || t.Partitions[0] != 0
			})
			switch {
			case len(topics) == 0:
				everything.Add(1)
			case firsts:
				looks.Add(1)
			}
			return nil, nil, false
		})
		var topics []transport.TopicStart
		for n := range 8 {
			name := fmt.Sprint("topic-", n)
			if err := b.CreateTopic(name, 2, nil); err != nil {
				t.Fatal(err)
			}
			topics = append(topics, transport.TopicStart{Topic: name})
		}
		l := newLedger()
		with := func(cfg *transport.ConsumerConfig) { cfg.Topics = topics }
		one, other := startReader(b, l, with), startReader(b, l, with)
		time.Sleep(4 * time.Second) // less than startPatience; the clock is the bubble's
		// Each member also reads all commits once, for the types handled lately.
		if n := everything.Load(); n > 4 {
			t.Errorf("all commits were asked for %d times", n)
		}
		if n := looks.Load(); n > 20 {
			t.Errorf("members looked %d times for the starts of others in 4 s", n)
		}
		mended.Store(true)
		owned := func(r *reader) (n int) {
			for i := range topics {
				n += r.ownedOf(topics[i].Topic)
			}
			return n
		}
		one.await("its share", func() bool { return owned(one) == 8 })
		other.await("its share", func() bool { return owned(other) == 8 })
	})
}

// TestTopicThatMayNotBeSeen: a coordinator omits, or refuses to return, the commits on a topic
// that the member may not see. The topic must not start as if it had no commits, and must not
// hold up the others.
func TestTopicThatMayNotBeSeen(t *testing.T) {
	bothProtocols(t, 1, func(t *testing.T, b *bed.Bed) {
		var granted atomic.Bool
		b.ControlKey(int16(kmsg.OffsetFetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			if granted.Load() {
				return nil, nil, false
			}
			resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
			for _, asked := range req.(*kmsg.OffsetFetchRequest).Groups {
				g := kmsg.NewOffsetFetchResponseGroup()
				g.Group = asked.Group
				for _, topic := range asked.Topics {
					answer := kmsg.NewOffsetFetchResponseGroupTopic()
					answer.Topic = topic.Topic
					for _, p := range topic.Partitions {
						part := kmsg.NewOffsetFetchResponseGroupTopicPartition()
						part.Partition, part.Offset, part.LeaderEpoch = p, -1, -1
						if topic.Topic == "secret" {
							part.ErrorCode = franzerr.TopicAuthorizationFailed.Code
						}
						answer.Partitions = append(answer.Partitions, part)
					}
					g.Topics = append(g.Topics, answer)
				}
				resp.Groups = append(resp.Groups, g)
			}
			return resp, nil, true
		})
		if err := b.CreateTopic("secret", 2, nil); err != nil {
			t.Fatal(err)
		}
		r := startReader(b, newLedger(), func(cfg *transport.ConsumerConfig) {
			cfg.Topics = []transport.TopicStart{{Topic: "events"}, {Topic: "secret"}}
		})
		r.await("the topic that may be seen", func() bool { return r.ownedOf("events") == 1 })
		time.Sleep(2 * startPatience) // the clock is the bubble's
		if n := r.ownedOf("secret"); n != 0 {
			t.Errorf("%d partitions began without what the group has committed", n)
		}
		granted.Store(true)
		r.await("the other one", func() bool { return r.ownedOf("secret") == 2 })
		r.close()
	})
}
