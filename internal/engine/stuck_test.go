package engine

import (
	"context"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
)

// TestHandlerThatIgnoresItsTimeout: a handler that ignores its timeout is reported
// and holds up only its key. Once it returns, its key continues.
func TestHandlerThatIgnoresItsTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		sub := c.subscription(1)
		sub.Timeout = 2 * time.Second
		s := newScript(t, options{subs: []*Subscription{sub}})
		s.assign(0, "")
		s.fetch(0, "a", "a", "b", "c")
		wantRunning(t, c, 0)
		pass(5 * time.Second)
		wantRunning(t, c, 0, 2)
		snap := s.engine.Snapshot().Subscriptions[0]
		if snap.Stuck != 1 || snap.Running != 2 || snap.Longest != 5*time.Second {
			t.Errorf("snapshot %+v", snap)
		}
		c.end(t, 2, nil)
		wantRunning(t, c, 0, 3)
		c.end(t, 0, nil)
		wantRunning(t, c, 3) // its worker has been replaced
		c.end(t, 3, nil)
		wantRunning(t, c, 1)
		c.end(t, 1, nil)
		s.drain()
		wantCommit(t, s, 4)
		if n := s.engine.Abandoned(); n != 0 {
			t.Errorf("%d abandoned", n)
		}
	})
}

// TestHandlerGetsStuckInADrain: a drain stops waiting for a handler that gets stuck
// meanwhile, long before the drain's own time is over.
func TestHandlerGetsStuckInADrain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		sub := c.subscription(2)
		sub.Timeout = 5 * time.Second
		s := newScript(t, options{subs: []*Subscription{sub}})
		s.assign(0, "")
		s.fetch(0, "a", "b")
		c.end(t, 1, nil)
		pass(time.Second)
		start := time.Now()
		s.drain()
		if took := time.Since(start); took > 7*time.Second {
			t.Errorf("the drain took %v", took)
		}
		if n := s.engine.Abandoned(); n != 1 {
			t.Errorf("%d abandoned, want 1", n)
		}
		commit := wantCommit(t, s, 0)
		c.end(t, 0, nil)
		if wantCommit(t, s, 0) != commit {
			t.Error("committed late")
		}
	})
}

// TestStuckHandlerDoesNotDelayADrain: a handler that is known to be stuck counts as
// abandoned when a drain starts, and delays neither a rebalance nor a stop. If it
// returns before, its result counts.
func TestStuckHandlerDoesNotDelayADrain(t *testing.T) {
	for _, returns := range []bool{false, true} {
		inBubble(t, func(t *testing.T) {
			c := newCalls()
			sub := c.subscription(2)
			sub.Timeout = 2 * time.Second
			s := newScript(t, options{subs: []*Subscription{sub}})
			s.assign(0, "")
			s.fetch(0, "a", "b")
			c.end(t, 1, nil)
			pass(5 * time.Second)
			if returns {
				c.end(t, 0, nil)
			}
			start := time.Now()
			s.revoke()
			if took := time.Since(start); took > 0 {
				t.Errorf("the revocation took %v", took)
			}
			abandoned, committed := int64(1), int64(0)
			if returns {
				abandoned, committed = 0, 2
			}
			if n := s.engine.Abandoned(); n != abandoned {
				t.Errorf("%d abandoned, want %d", n, abandoned)
			}
			wantCommit(t, s, committed)
			s.drain()
			if !returns {
				c.end(t, 0, nil) // late: it changes nothing
				wantCommit(t, s, committed)
			}
		})
	}
}

// TestStarved: a handler that hangs in a subscription with one worker starves the other
// events, unless it has a timeout and is therefore replaced.
func TestStarved(t *testing.T) {
	for _, timeout := range []time.Duration{time.Second, 0} {
		inBubble(t, func(t *testing.T) {
			c := newCalls()
			sub := c.subscription(1)
			sub.Timeout = timeout
			s := newScript(t, options{subs: []*Subscription{sub}})
			s.assign(0, "")
			s.fetch(0, "a", "b")
			pass(10 * time.Second)
			if timeout > 0 {
				c.end(t, 1, nil)
			}
			pass(10 * time.Second)
			snap := sub.Snapshot()
			if starved := snap.Starved > 15*time.Second; starved != (timeout == 0) || timeout > 0 && snap.Starved != 0 {
				t.Errorf("timeout %v: starved for %v", timeout, snap.Starved)
			}
			c.end(t, 0, nil)
			if timeout == 0 {
				c.end(t, 1, nil)
			}
			pass(2 * time.Second)
			if sub.Snapshot().Starved != 0 {
				t.Error("starved without events")
			}
			s.drain()
			wantCommit(t, s, 2)
		})
	}
}

// TestZombiesOfLostPartitionsAreReplaced: workers that handlers of a lost partition
// occupy are replaced, even without a timeout.
func TestZombiesOfLostPartitionsAreReplaced(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(1)}})
		s.assign(0, "")
		s.fetch(0, "a")
		s.engine.Lost(s.owned)
		s.owned = nil
		s.assign(10, "")
		s.fetch(10, "a")
		pass(3 * time.Second)
		wantRunning(t, c, 0, 10)
		c.end(t, 10, nil)
		c.end(t, 0, nil)
		s.drain()
		wantCommit(t, s, 11)
	})
}

// TestStuckProbeEnds: a probe whose handler is stuck does not keep the breaker half
// open.
func TestStuckProbeEnds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		sub := c.subscription(4)
		sub.Timeout = time.Second
		sub.Breaker = resilience.NewBreaker("b", resilience.BreakerConfig{MinKeys: 2, Probes: 1, After: -1, OpenFor: time.Second})
		s := newScript(t, options{subs: []*Subscription{sub}})
		s.assign(0, "")
		s.fetch(0, "a", "b", "c")
		for range 2 {
			c.end(t, 0, retryAfter(time.Millisecond))
			c.end(t, 1, retryAfter(time.Millisecond))
			pass(2 * time.Millisecond)
		}
		c.end(t, 2, nil)
		if sub.Breaker.State() != resilience.Open {
			t.Fatalf("the breaker is %v", sub.Breaker.State())
		}
		pass(1500 * time.Millisecond)
		probe := c.list()
		if len(probe) != 1 {
			t.Fatalf("%v probe", probe)
		}
		for range 100 { // until the other key probes, since this one ignores its timeout
			if len(c.list()) == 2 {
				break
			}
			pass(100 * time.Millisecond)
		}
		for _, o := range c.list() {
			if o != probe[0] {
				c.end(t, o, nil)
			}
		}
		if sub.Breaker.State() != resilience.Closed {
			t.Errorf("the breaker is %v", sub.Breaker.State())
		}
		c.end(t, probe[0], nil)
		s.drain()
		wantCommit(t, s, 3)
	})
}

// TestNothingIsDispatchedWhileNotAlive: no handler is called while the group may have
// expelled the member.
func TestNothingIsDispatchedWhileNotAlive(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(4)}})
		s.assign(0, "")
		s.setAlive(false)
		s.fetch(0, "a", "b")
		pass(time.Minute)
		wantRunning(t, c)
		if parked := s.engine.Snapshot().ParkedKeys; parked != 0 {
			t.Errorf("%d parked", parked)
		}
		s.setAlive(true)
		pass(suspended)
		wantRunning(t, c, 0, 1)
		s.setAlive(false)
		c.end(t, 0, nil)
		s.fetch(2, "a")
		wantRunning(t, c, 1)
		c.end(t, 1, nil)
		tick()
		wantCommit(t, s, 2)
		s.drain() // while it is not alive
	})
}

// TestHold: while an operator holds a subscription, its records wait.
func TestHold(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		sub := c.subscription(4)
		s := newScript(t, options{subs: []*Subscription{sub}})
		s.assign(0, "")
		sub.Hold(true)
		s.fetch(0, "a", "b", "c")
		wantRunning(t, c)
		sub.Hold(false)
		wantRunning(t, c, 0, 1, 2)
		sub.Hold(true)
		if !s.engine.Snapshot().Subscriptions[0].Held {
			t.Error("the snapshot does not show the hold")
		}
		for o := range int64(3) {
			c.end(t, o, nil)
		}
		s.drain()
		sub.Hold(false)
	})
}

// TestOrders: the order of a subscription decides which records run at once.
func TestOrders(t *testing.T) {
	for _, c := range []struct {
		order   Order
		running []int64
	}{
		{ByKey, []int64{0, 2}},
		{ByPartition, []int64{0}},
		{Unordered, []int64{0, 1, 2}},
	} {
		inBubble(t, func(t *testing.T) {
			calls := newCalls()
			sub := calls.subscription(4)
			sub.Order = c.order
			s := newScript(t, options{subs: []*Subscription{sub}})
			s.assign(0, "")
			s.fetch(0, "a", "a", "b")
			wantRunning(t, calls, c.running...)
			for len(calls.list()) > 0 {
				calls.end(t, calls.list()[0], nil)
			}
			s.drain()
			wantCommit(t, s, 3)
		})
	}
}

// TestNilAndEmptyKeys: records with a nil key have no key, and so no order. An empty key
// is a key.
func TestNilAndEmptyKeys(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(8)}})
		s.assign(0, "")
		b := s.batch(p0, 0, "", "", "", "")
		b.Records[2].Key, b.Records[3].Key = nil, nil
		s.deliver(b)
		wantRunning(t, c, 0, 2, 3)
		for _, o := range []int64{0, 1, 2, 3} {
			c.end(t, o, nil)
		}
		s.drain()
	})
}

// TestAttemptTellsItsEpoch: an attempt has the epoch of its partition's assignment.
func TestAttemptTellsItsEpoch(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var epochs []uint64
		sub := &Subscription{Name: "s", Handle: func(_ context.Context, a *Attempt) error {
			epochs = append(epochs, a.Epoch)
			return nil
		}}
		s := newScript(t, options{subs: []*Subscription{sub}})
		for range 2 {
			s.assign(0, "")
			s.fetch(0, "a")
			s.revoke()
		}
		if len(epochs) != 2 || epochs[0] >= epochs[1] {
			t.Errorf("epochs %v", epochs)
		}
		s.drain()
	})
}
