package group

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	franzerr "github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/balance"
	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/transport"
)

// oddAssignment returns an assignment that no leader should make: it has an impossible
// partition, one that is named twice, and a topic to which nobody subscribes.
func oddAssignment() []transport.Partition {
	return []transport.Partition{
		{Topic: "events", Partition: -1}, {Topic: "events", Partition: 0}, {Topic: "events", Partition: 0}, {Topic: "other", Partition: 0},
	}
}

// TestOddAssignment: a member reads what it subscribes to of an assignment, and the rest does
// not make it fail.
func TestOddAssignment(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		if err := b.CreateTopic("other", 1, nil); err != nil {
			t.Fatal(err)
		}
		b.ControlKey(int16(kmsg.SyncGroup), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			for i := range req.(*kmsg.SyncGroupRequest).GroupAssignment {
				req.(*kmsg.SyncGroupRequest).GroupAssignment[i].MemberAssignment = balance.EncodeAssignment(oddAssignment(), &balance.Types{})
			}
			return nil, nil, false
		})
		l := newLedger()
		r := startReader(b, l)
		r.awaitOwned(1)
		b.Delivered(b.Publish(startProducer(b, transport.ProducerConfig{}), 0, "record"))
		l.await(t, 1)
		time.Sleep(time.Minute) // the clock is the bubble's
		if r.mu.Lock(); !slices.Equal(r.heard, []string{"assigned 0"}) {
			t.Errorf("heard %q", r.heard)
		}
		r.mu.Unlock()
		l.equals(b, 1)
	})
}

// TestOddTarget is TestOddAssignment for an assignment by a coordinator with KIP-848.
func TestOddTarget(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		client := bedclient.Of(b)
		cfg := transport.ConsumerConfig{Group: "group", Topics: []transport.TopicStart{{Topic: "events"}}, Listener: &assigns{}}.WithDefaults()
		c := newConsumer(client, cfg, Options{ConsumerProtocol: true})
		topic, err := client.Topic(t.Context(), "events")
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.member.named(t.Context(), &kmsg.ConsumerGroupHeartbeatResponseAssignment{
			Topics: []kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic{{TopicID: topic.ID, Partitions: []int32{0, -1, 0}}},
		})
		if want := []transport.Partition{{Topic: "events"}}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, %v, want %v", got, err, want)
		}
	})
}

// TestOddSubscription: a member whose subscription can't be read, or names impossible
// topics, does not keep others from their partitions.
func TestOddSubscription(t *testing.T) {
	bed.Bubble(t, 2, func(t *testing.T, b *bed.Bed) {
		client := bedclient.Of(b)
		b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "no topic!", Err: franzerr.InvalidTopicException, Count: -1})
		b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "secret", Err: franzerr.TopicAuthorizationFailed, Count: -1})
		cfg := transport.ConsumerConfig{Group: "group", Topics: []transport.TopicStart{{Topic: "events"}}, Listener: &assigns{}}.WithDefaults()
		c := newConsumer(client, cfg, Options{})
		subscription := func(topics ...string) []byte {
			return c.member.balancer.Metadata(topics, nil, -1, "", &balance.Types{})
		}
		resp := &kmsg.JoinGroupResponse{Members: []kmsg.JoinGroupResponseMember{
			{MemberID: "good", ProtocolMetadata: subscription("events")},
			{MemberID: "garbage", ProtocolMetadata: []byte("\x00\x03\xff\xff\xff")},
			{MemberID: "names", ProtocolMetadata: subscription("events", "no topic!", "secret", "\xff")},
		}}
		var req kmsg.SyncGroupRequest
		if _, err := c.member.plan(t.Context(), resp, &req); err != nil {
			t.Fatal(err)
		}
		got := make(map[string]int)
		for _, share := range req.GroupAssignment {
			partitions, err := balance.DecodeAssignment(share.MemberAssignment)
			if err != nil {
				t.Fatal(err)
			}
			got[share.MemberID] = len(partitions)
		}
		if got["good"] != 1 || got["names"] != 1 {
			t.Errorf("shares %v, want one partition for each member that reads the topic", got)
		}
		// A temporary error fails the plan: one without the topic would take it from all
		// members.
		b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "new", Err: franzerr.LeaderNotAvailable, Count: -1})
		resp.Members[0].ProtocolMetadata = subscription("new")
		if _, err := c.member.plan(t.Context(), resp, &req); err == nil {
			t.Error("planned without a topic that may have partitions")
		}
	})
}

// TestJoinRefusedForever: a coordinator may refuse every join with an error after which a
// member usually joins again at once. The member then asks only a few times a second, and joins
// once it may.
func TestJoinRefusedForever(t *testing.T) {
	for _, code := range []*franzerr.Error{franzerr.UnknownMemberID, franzerr.IllegalGeneration, franzerr.MemberIDRequired} {
		t.Run(code.Message, func(t *testing.T) {
			bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
				var honest atomic.Bool
				var asked atomic.Int64
				b.ControlKey(int16(kmsg.JoinGroup), func(req kmsg.Request) (kmsg.Response, error, bool) {
					b.KeepControl()
					if honest.Load() {
						return nil, nil, false
					}
					asked.Add(1)
					b.SleepControl(func() { time.Sleep(time.Millisecond) }) // as a network does
					resp := req.ResponseKind().(*kmsg.JoinGroupResponse)
					resp.ErrorCode, resp.MemberID = code.Code, "id"
					return resp, nil, true
				})
				r := startReader(b, newLedger())
				time.Sleep(time.Minute) // the clock is the bubble's
				if n := asked.Load(); n > 600 {
					t.Errorf("asked %d times in a minute", n)
				}
				honest.Store(true)
				r.awaitOwned(1)
			})
		})
	}
}
