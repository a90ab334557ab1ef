package group

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// kill makes a broker refuse connections, and closes those that it has.
func kill(b *bed.Bed, broker int32) { b.Wires.SetDown(b.ListenAddrs()[broker], true) }

// freeze makes a broker accept connections and requests without ever answering.
func freeze(b *bed.Bed, broker int32) {
	b.Control(func(kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		return nil, nil, b.CurrentNode() == broker
	})
}

// depose does what a cluster does once it has noticed that a broker is lost: it
// makes others lead its partitions of "events" and coordinate its groups.
func depose(b *bed.Bed, broker int32) {
	b.T.Helper()
	for n := range int32(len(b.PartitionInfos("events"))) {
		if b.LeaderFor("events", n) == broker {
			if err := b.MoveTopicPartition("events", n, (broker+1)%3); err != nil {
				b.T.Fatal(err)
			}
		}
	}
	for b.CoordinatorFor("group") == broker {
		b.RehashCoordinators()
	}
}

// fencing is how long a cluster takes to notice that a broker is lost: the default of
// broker.session.timeout.ms.
const fencing = 9 * time.Second

// TestBrokerLost: once the cluster has deposed a broker that was killed or is
// frozen, its partitions are written and read within a second, and committed
// within two.
func TestBrokerLost(t *testing.T) {
	for name, lose := range map[string]func(*bed.Bed, int32){"killed": kill, "frozen": freeze} {
		t.Run(name, func(t *testing.T) {
			bed.Bubble(t, 6, func(t *testing.T, b *bed.Bed) {
				l := newLedger()
				r := startReader(b, l)
				r.awaitOwned(6)
				p := startProducer(b, transport.ProducerConfig{})
				for n := range int32(6) {
					b.Delivered(b.Publish(p, n, "before"))
				}
				l.await(t, 6)
				lost := b.LeaderFor("events", 0)
				lose(b, lost)
				// These are in flight when the broker is lost, on every connection.
				var waiting []bed.Receipt
				for n := range int32(6) {
					waiting = append(waiting, b.Publish(p, n, "meanwhile"))
				}
				time.Sleep(fencing)
				begun := time.Now()
				depose(b, lost)
				for _, done := range waiting {
					b.Delivered(done)
				}
				if took := time.Since(begun); took > time.Second { // the clock is the bubble's
					t.Errorf("written %s after the broker was deposed", took)
				}
				for n := range int32(6) {
					b.Delivered(b.Publish(p, n, "after"))
				}
				l.await(t, 18)
				if took := time.Since(begun); took > time.Second {
					t.Errorf("read %s after the broker was deposed", took)
				}
				if err := r.commit(t.Context(), func(transport.Partition) bool { return true }); err != nil {
					t.Error(err)
				}
				if took := time.Since(begun); took > 2*time.Second {
					t.Errorf("committed %s after the broker was deposed", took)
				}
				if len(r.heard) != 1 {
					t.Errorf("heard %q", r.heard)
				}
			}, bed.ThreeBrokers()...)
		})
	}
}

// TestCoordinatorLostInJoin: a JoinGroup may take as long as a rebalance, but the
// member stops waiting if the coordinator is frozen and another has replaced it.
func TestCoordinatorLostInJoin(t *testing.T) {
	bed.Bubble(t, 3, func(t *testing.T, b *bed.Bed) {
		if _, err := bedclient.Of(b).Describe(t.Context()); err != nil {
			t.Fatal(err)
		}
		frozen := b.CoordinatorFor("group")
		b.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			return nil, nil, b.CurrentNode() == frozen
		})
		r := startReader(b, newLedger())
		time.Sleep(fencing)
		begun := time.Now()
		depose(b, frozen)
		r.awaitOwned(3)
		if took := time.Since(begun); took > time.Second {
			t.Errorf("joined %s after the group had another coordinator", took)
		}
	}, bed.ThreeBrokers()...)
}

// shutGate is a Gate that refuses records for one broker.
type shutGate struct{ broker atomic.Int32 }

var errShut = errors.New("shut")

func (g *shutGate) Allow(broker int32) error {
	if broker == g.broker.Load() {
		return errShut
	}
	return nil
}

func (g *shutGate) Report(int32, error) {}

// TestGateLooksElsewhere: while the gate refuses records for a broker, no response
// from that broker can reveal a new leader. The leader is found nevertheless.
func TestGateLooksElsewhere(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		gate := &shutGate{}
		gate.broker.Store(-1)
		p := startProducer(b, transport.ProducerConfig{Gate: gate})
		b.Delivered(b.Publish(p, 0, "before"))
		leader := b.LeaderFor("events", 0)
		gate.broker.Store(leader)
		r := &transport.Record{Topic: "events"}
		for range 20 {
			if err := p.Produce(t.Context(), r, nil); !errors.Is(err, errShut) {
				t.Fatalf("before the leader moved: %v", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		depose(b, leader)
		begun := time.Now()
		for p.Produce(t.Context(), r, nil) != nil {
			if time.Since(begun) > 2*cluster.LookAgainAfter {
				t.Fatal("the new leader is not found")
			}
			time.Sleep(10 * time.Millisecond)
		}
	}, bed.ThreeBrokers()...)
}

// TestSilentFetch: if the broker that leads all partitions answers no fetch, its
// silence alone makes the consumer find the new leader as soon as the cluster has
// deposed the broker.
func TestSilentFetch(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		l := newLedger()
		r := startReader(b, l)
		r.awaitOwned(1)
		p := startProducer(b, transport.ProducerConfig{})
		b.Delivered(b.Publish(p, 0, "before"))
		l.await(t, 1)
		lost := b.LeaderFor("events", 0)
		b.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			return nil, nil, b.CurrentNode() == lost
		})
		time.Sleep(fencing)
		begun := time.Now()
		depose(b, lost)
		b.Delivered(b.Publish(p, 0, "after"))
		l.await(t, 2)
		if took := time.Since(begun); took > time.Second {
			t.Errorf("read %s after the broker was deposed", took)
		}
	}, bed.ThreeBrokers()...)
}

// TestSilenceIsForgotten: once a broker answers again, leaders of idle partitions
// are looked up about as often as before.
func TestSilenceIsForgotten(t *testing.T) {
	bed.Bubble(t, 6, func(t *testing.T, b *bed.Bed) {
		var asked atomic.Int64
		var frozen atomic.Int32
		frozen.Store(-1)
		b.Control(func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			if req.Key() == int16(kmsg.Metadata) {
				asked.Add(1)
			}
			return nil, nil, req.Key() == int16(kmsg.Fetch) && b.CurrentNode() == frozen.Load()
		})
		minute := func() int64 {
			before := asked.Load()
			time.Sleep(time.Minute)
			return asked.Load() - before
		}
		startReader(b, newLedger()).awaitOwned(6)
		minute()
		idle := minute()
		frozen.Store(b.LeaderFor("events", 0))
		time.Sleep(4 * time.Second)
		frozen.Store(-1)
		minute()
		if n := minute(); n > idle+idle/2 {
			t.Errorf("%d metadata requests in an idle minute, %d before the silence", n, idle)
		}
	}, bed.ThreeBrokers()...)
}

// TestJoinRefusedAsRebalance: a coordinator that answers JoinGroup as if the group rebalanced,
// which Kafka's does if it can't store the group, is not asked over and over at once.
func TestJoinRefusedAsRebalance(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		var joins atomic.Int64
		begun := time.Now()
		b.ControlKey(int16(kmsg.JoinGroup), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			if time.Since(begun) > 10*time.Second {
				return nil, nil, false
			}
			joins.Add(1)
			time.Sleep(time.Millisecond) // the clock is the bubble's
			resp := req.ResponseKind().(*kmsg.JoinGroupResponse)
			resp.ErrorCode = int16(kerr.RebalanceInProgress)
			return resp, nil, true
		})
		r := startReader(b, newLedger())
		r.awaitOwned(1)
		if n := joins.Load(); n > 60 {
			t.Errorf("%d joins in ten seconds", n)
		}
	})
}
