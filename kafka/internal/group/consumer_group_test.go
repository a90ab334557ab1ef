package group

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	franzerr "github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/transport"
)

// TestGroupComesAndGoes: while members join and leave, each record is read once and
// in order.
func TestGroupComesAndGoes(t *testing.T) {
	bed.Bubble(t, 6, func(t *testing.T, b *bed.Bed) {
		l := newLedger()
		stop := b.Flow(startProducer(b, transport.ProducerConfig{}), 6, 10*time.Millisecond)
		first := startReader(b, l)
		first.awaitHeard("assigned 0 1 2 3 4 5")
		second := startReader(b, l)
		second.awaitOwned(3)
		third := startReader(b, l)
		third.awaitOwned(2)
		second.close()
		third.awaitOwned(3)
		fourth := startReader(b, l)
		fourth.awaitOwned(2)
		first.close()
		third.awaitOwned(3)
		fourth.awaitOwned(3)
		n := stop()
		l.await(t, n)
		l.equals(b, 6)
		if first.heard[0] != "assigned 0 1 2 3 4 5" || first.Status().State != "closed" {
			t.Errorf("the first member heard %q", first.heard)
		}
	}, bed.ThreeBrokers()...)
}

// TestGroupEager: members that use an eager protocol release all partitions before
// they join again.
func TestGroupEager(t *testing.T) {
	for _, name := range []string{"range", "roundrobin"} {
		t.Run(name, func(t *testing.T) {
			bed.Bubble(t, 4, func(t *testing.T, b *bed.Bed) {
				membershipOf(b).Balancer = name
				l := newLedger()
				stop := b.Flow(startProducer(b, transport.ProducerConfig{}), 4, 10*time.Millisecond)
				first := startReader(b, l)
				first.awaitOwned(4)
				second := startReader(b, l)
				second.awaitOwned(2)
				first.await("everything to be revoked first", func() bool {
					return slices.Contains(first.heard, "revoked 0 1 2 3") && len(first.owned) == 2
				})
				l.await(t, stop())
				l.equals(b, 4)
			})
		})
	}
}

// TestGroupOtherBalancer: members without a common balancer can't be in one group,
// and the error says so.
func TestGroupOtherBalancer(t *testing.T) {
	bed.Bubble(t, 2, func(t *testing.T, b *bed.Bed) {
		l := newLedger()
		startReader(b, l).awaitOwned(2)
		membershipOf(b).Balancer = "range"
		other := startReader(b, l)
		for deadline := time.Now().Add(time.Minute); !errors.Is(other.Status().LastError, inconsistentGroupProtocol); {
			if time.Now().After(deadline) {
				t.Fatalf("status %+v", other.Status())
			}
			time.Sleep(100 * time.Millisecond) // nothing signals; the clock is the bubble's
		}
	})
}

// TestGroupSurvives: the membership survives failures of the coordinator.
func TestGroupSurvives(t *testing.T) {
	loading := franzerr.CoordinatorLoadInProgress
	for name, hit := range map[string]func(b *bed.Bed) *kfake.FaultHandle{
		"a heartbeat fails": func(b *bed.Bed) *kfake.FaultHandle {
			return b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: "group", Err: franzerr.UnknownServerError})
		},
		"it is loading": func(b *bed.Bed) *kfake.FaultHandle {
			return b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat, kmsg.OffsetCommit}, Group: "group", Err: loading, Count: 4})
		},
		"it is another broker": func(b *bed.Bed) *kfake.FaultHandle {
			b.RehashCoordinators()
			return nil
		},
		"its connections are cut": func(b *bed.Bed) *kfake.FaultHandle {
			for _, addr := range b.ListenAddrs() {
				b.Wires.SetDown(addr, true)
			}
			time.Sleep(10 * time.Second)
			for _, addr := range b.ListenAddrs() {
				b.Wires.SetDown(addr, false)
			}
			return nil
		},
		"it is silent": func(b *bed.Bed) *kfake.FaultHandle {
			b.ControlKey(int16(kmsg.Heartbeat), func(kmsg.Request) (kmsg.Response, error, bool) { return nil, nil, true })
			time.Sleep(5 * time.Second)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			bed.Bubble(t, 3, func(t *testing.T, b *bed.Bed) {
				l := newLedger()
				r := startReader(b, l)
				r.awaitOwned(3)
				handle := hit(b)
				if handle != nil {
					if err := handle.Wait(t.Context(), 1); err != nil {
						t.Fatal(err)
					}
				}
				p := startProducer(b, transport.ProducerConfig{})
				for n := range int32(3) {
					b.Delivered(b.Publish(p, n, "x"))
				}
				l.await(t, 3)
				time.Sleep(2 * r.member.cfg.SessionTimeout)
				if !r.Alive() {
					t.Error("the member is not alive")
				}
				if err := r.commit(t.Context(), func(transport.Partition) bool { return true }); err != nil {
					t.Error(err)
				}
				if len(r.heard) != 1 {
					t.Errorf("heard %q", r.heard)
				}
			}, bed.ThreeBrokers()...)
		})
	}
}

// TestGroupNotAlive: a member is not alive if no heartbeat has been acknowledged for
// a session, and is alive again once one is.
func TestGroupNotAlive(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		r := startReader(b, newLedger())
		r.awaitOwned(1)
		b.Wires.SetDown(b.ListenAddrs()[0], true)
		time.Sleep(r.member.cfg.SessionTimeout + time.Second)
		if r.Alive() {
			t.Error("alive without a heartbeat for a session")
		}
		if r.Status().LastError == nil {
			t.Error("no error in the status")
		}
		b.Wires.SetDown(b.ListenAddrs()[0], false)
		r.await("the member to be alive", func() bool { return r.heard[len(r.heard)-1] == "assigned 0" && r.Alive() })
	})
}

// TestGroupExpelled: a member that the group has expelled loses its partitions,
// can't commit them, and joins again with higher epochs.
func TestGroupExpelled(t *testing.T) {
	for _, e := range []*franzerr.Error{franzerr.UnknownMemberID, franzerr.IllegalGeneration} {
		t.Run(e.Message, func(t *testing.T) {
			bed.Bubble(t, 2, func(t *testing.T, b *bed.Bed) {
				l := newLedger()
				r := startReader(b, l)
				r.awaitOwned(2)
				old := r.owned[transport.Partition{Topic: "events"}].epoch
				b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: "group", Err: e})
				r.awaitHeard("assigned 0 1", "lost 0 1", "assigned 0 1")
				p := transport.Partition{Topic: "events"}
				if got := r.owned[p].epoch; got <= old {
					t.Errorf("epoch %d after %d", got, old)
				}
				err := r.Commit(t.Context(), transport.Commit{Partition: p, Epoch: old, Offset: 1, LeaderEpoch: -1})
				if failed, ok := errors.AsType[*transport.CommitError](err); !ok || !errors.Is(failed.Partitions[p], transport.ErrFenced) {
					t.Errorf("commit under the old epoch: %v", err)
				}
				synctest.Wait() // until Assigned has returned and all is at rest
				if r.Status().LastError != nil || r.Status().State != "stable" {
					t.Errorf("status %+v", r.Status())
				}
			})
		})
	}
}

// TestCommitInLost: a commit of lost partitions, tried in Lost, is fenced.
func TestCommitInLost(t *testing.T) {
	bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
		r := startReader(b, newLedger())
		r.awaitOwned(1)
		refused := make(chan error, 1)
		r.onLost = func() {
			refused <- r.commit(context.Background(), func(transport.Partition) bool { return true })
		}
		b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: "group", Err: franzerr.UnknownMemberID})
		if err := <-refused; !errors.Is(err, transport.ErrFenced) {
			t.Errorf("commit in Lost: %v", err)
		}
	})
}

// TestGroupFencedInstance: of two members with the same instance ID, only the later
// one stays in the group.
func TestGroupFencedInstance(t *testing.T) {
	bed.Bubble(t, 2, func(t *testing.T, b *bed.Bed) {
		static := func(cfg *transport.ConsumerConfig) { cfg.InstanceID = "one" }
		l := newLedger()
		first := startReader(b, l, static)
		first.awaitOwned(2)
		second := startReader(b, l, static)
		second.awaitOwned(2)
		first.awaitHeard("assigned 0 1", "lost 0 1")
		time.Sleep(5 * time.Minute)
		if len(second.heard) != 1 || first.Alive() || !errors.Is(first.Status().LastError, transport.ErrFenced) {
			t.Errorf("the first member: %+v; the second heard %q", first.Status(), second.heard)
		}
	})
}

// TestCloseDuringRebalance: a member that is closed during a rebalance which another
// member holds up does not wait for it, and commits what it has read.
func TestCloseDuringRebalance(t *testing.T) {
	bed.Bubble(t, 4, func(t *testing.T, b *bed.Bed) {
		l := newLedger()
		slow, draining := make(chan struct{}), make(chan *reader, 2)
		members := []*reader{startReader(b, l), startReader(b, l)}
		for _, m := range members {
			m.awaitOwned(2)
			m.drain = func(context.Context) {
				m.drain = nil
				draining <- m
				<-slow
			}
		}
		third := startReader(b, l) // a partition is taken for it, and that takes time
		busy, waiting := <-draining, members[0]
		if busy == waiting {
			waiting = members[1]
		}
		waiting.drain = nil
		stop := b.Flow(startProducer(b, transport.ProducerConfig{}), 4, time.Millisecond)
		l.await(t, 100)
		startReader(b, l) // another rebalance waits for the busy one
		awaitState(b, "PreparingRebalance")
		for waiting.Status().State != "rebalancing" {
			time.Sleep(10 * time.Millisecond) // nothing signals; the clock is the bubble's
		}
		l.await(t, 200)
		waiting.close()
		if g := b.GroupInfo("group"); g.State != "PreparingRebalance" {
			t.Errorf("the group is %s", g.State)
		}
		close(slow)
		l.await(t, stop())
		third.await("a partition", func() bool { return len(third.owned) > 0 })
		l.equals(b, 4)
	})
}

// awaitState waits until the group is in a state.
func awaitState(b *bed.Bed, state string) {
	b.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := b.WaitGroupInfo(ctx, "group", func(g *kfake.GroupInfo) bool { return g.State == state }); err != nil {
		b.T.Fatalf("waiting for the group to be %s: %v", state, err)
	}
}
