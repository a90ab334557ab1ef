package engine

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

var errDown = errors.New("the dependency is down")

// dependency is called by handlers: it works or not, and counts calls.
type dependency struct {
	mu      sync.Mutex
	down    bool
	calls   map[int64]int // by offset
	most    int           // at once
	running int
	takes   time.Duration
}

func newDependency() *dependency { return &dependency{calls: make(map[int64]int)} }

func (d *dependency) call(_ context.Context, a *Attempt) error {
	d.mu.Lock()
	d.calls[a.Records[0].Offset]++
	d.running++
	d.most = max(d.most, d.running)
	down, takes := d.down, d.takes
	d.mu.Unlock()
	time.Sleep(takes)
	d.mu.Lock()
	d.running--
	d.mu.Unlock()
	if down {
		return errDown
	}
	return nil
}

func (d *dependency) set(down bool, takes time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down, d.takes, d.most = down, takes, 0
}

// total returns the number of calls, and the most at once since set.
func (d *dependency) total() (n, most int) {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.calls {
		n += c
	}
	return n, d.most
}

func (d *dependency) subscription(name string, b *resilience.Breaker) *Subscription {
	return &Subscription{
		Name: name, Concurrency: 32, Breaker: b, Handle: d.call,
		Retry: resilience.Retry{Attempts: 5, Elapsed: time.Minute, Initial: time.Millisecond, Max: time.Second},
	}
}

func newBreaker() *resilience.Breaker {
	return resilience.NewBreaker("b", resilience.BreakerConfig{MinKeys: 4, After: -1, Probes: 2, OpenFor: 10 * time.Second})
}

// While the breaker is open, however long, no retry is used up and nothing is
// dead-lettered. Then everything continues; the partition's other subscription
// never stopped.
func TestOpenBreakerParksAndSpendsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, b := newDependency(), newBreaker()
		var box letterBox
		well := newCalls()
		down, other := d.subscription("down", b), well.subscription(4)
		s := newScript(t, options{subs: []*Subscription{down, other}, deadLetter: box.write, route: func(r *transport.Record) Route {
			if string(r.Key) == "well" {
				return Route{Subscription: other}
			}
			return Route{Subscription: down}
		}})
		d.set(true, 0)
		s.assign(0, "")
		s.fetch(0, many(20)...)
		pass(10 * time.Second)
		if b.State() == resilience.Closed {
			t.Fatal("the breaker is closed")
		}
		before, _ := d.total()
		pass(time.Hour)
		after, _ := d.total()
		// Every ten seconds a round of 16 probes at most.
		if probes := after - before; probes < 300 || probes > 360*16 {
			t.Errorf("%d probes in an hour", probes)
		}
		s.fetch(20, "well")
		c := well.list()
		if len(c) != 1 || c[0] != 20 {
			t.Errorf("the other subscription runs %v", c)
		}
		well.end(t, 20, nil)
		if len(box.letters) != 0 {
			t.Fatalf("%d dead letters", len(box.letters))
		}
		snap := s.engine.Snapshot()
		if snap.ParkedKeys < 18 || snap.Partitions[0].Paused {
			t.Errorf("%d parked, paused: %v", snap.ParkedKeys, snap.Partitions[0].Paused)
		}
		d.set(false, 0)
		pass(time.Minute)
		s.drain()
		wantCommit(t, s, 21)
		if len(box.letters) != 0 {
			t.Errorf("%d dead letters", len(box.letters))
		}
	})
}

// A half-open breaker lets through exactly as many probes as configured.
func TestHalfOpenBreakerLetsProbesThrough(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, b := newDependency(), newBreaker()
		s := newScript(t, options{subs: []*Subscription{d.subscription("s", b)}})
		d.set(true, 0)
		s.assign(0, "")
		s.fetch(0, many(30)...)
		if b.State() != resilience.Open {
			t.Fatalf("the breaker is %v", b.State())
		}
		before, _ := d.total()
		d.set(false, 5*time.Second)
		pass(5 * time.Second) // probes take five seconds, and run
		after, most := d.total()
		if after-before != 2 || most != 2 {
			t.Errorf("%d probes, %d at once", after-before, most)
		}
		pass(2 * time.Second)
		if b.State() != resilience.Closed {
			t.Errorf("the breaker is %v", b.State())
		}
		if _, most = d.total(); most < 20 {
			t.Errorf("%d run after it has closed", most)
		}
		pass(time.Minute)
		s.drain()
		wantCommit(t, s, 30)
	})
}

// A single failing key does not open the breaker, in either order of handling.
func TestOneFailingKeyDoesNotOpenTheBreaker(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBreaker()
		sub := &Subscription{Name: "s", Concurrency: 4, Breaker: b, Retry: resilience.Retry{Attempts: 50, Initial: time.Millisecond, Max: time.Millisecond}}
		sub.Handle = func(_ context.Context, a *Attempt) error {
			if string(a.Records[0].Key) == "poison" {
				return errDown
			}
			return nil
		}
		s := newScript(t, options{subs: []*Subscription{sub}})
		s.assign(0, "")
		s.fetch(0, append(many(6), "poison")...)
		pass(time.Minute)
		if b.OpenFor() != 0 {
			t.Error("it opened")
		}
		s.drain()
		wantCommit(t, s, 7)
	})
}

// With order by partition there is one lane, but the breaker still counts keys.
func TestBreakerCountsKeysByPartition(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, b := newDependency(), newBreaker()
		sub := d.subscription("s", b)
		sub.Order, sub.Retry = ByPartition, resilience.NoRetry()
		s := newScript(t, options{subs: []*Subscription{sub}})
		d.set(true, 0)
		s.assign(0, "")
		s.fetch(0, many(20)...)
		if b.State() != resilience.Open {
			t.Fatalf("the breaker is %v", b.State())
		}
		d.set(false, 0)
		pass(time.Minute)
		s.drain()
		wantCommit(t, s, 20)
	})
}

// A dependency that several subscriptions and groups share has one breaker: an
// outage noticed by one stops the others.
func TestSharedBreaker(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, b := newDependency(), newBreaker()
		first := newScript(t, options{subs: []*Subscription{d.subscription("first", b)}})
		second := newScript(t, options{subs: []*Subscription{d.subscription("second", b)}})
		d.set(true, 0)
		first.assign(0, "")
		second.assign(0, "")
		first.fetch(0, many(10)...)
		if b.State() != resilience.Open {
			t.Fatalf("the breaker is %v", b.State())
		}
		before, _ := d.total()
		second.fetch(0, many(10)...)
		if after, _ := d.total(); after != before {
			t.Errorf("%d calls through the open breaker", after-before)
		}
		d.set(false, 0)
		pass(time.Minute)
		first.drain()
		second.drain()
		wantCommit(t, first, 10)
		wantCommit(t, second, 10)
	})
}

// When a partition is revoked, its waiting keys leave the breaker's queue, and its
// probes give back their places.
func TestDrainBeforeAnOpenBreaker(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, b := newDependency(), newBreaker()
		s := newScript(t, options{subs: []*Subscription{d.subscription("s", b)}})
		d.set(true, 0)
		s.assign(0, "")
		s.fetch(0, many(20)...)
		d.set(false, time.Hour)
		pass(15 * time.Second) // two probes run
		if _, most := d.total(); most != 2 {
			t.Fatalf("%d probes", most)
		}
		start := time.Now()
		s.revoke() // within a minute; they are cut off
		if took := time.Since(start); took > time.Minute {
			t.Errorf("took %v", took)
		}
		d.set(false, 0)
		s.assign(0, s.lastCommit().Metadata)
		s.fetch(0, many(20)...)
		pass(time.Minute)
		if b.State() != resilience.Closed {
			t.Errorf("the breaker is %v", b.State())
		}
		s.drain()
		wantCommit(t, s, 20)
		pass(2 * time.Hour) // the zombies come back
	})
}

// Keys of partitions that are gone do not take the breaker's places from those that
// are still there.
func TestLostKeysLeaveTheGate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d := newDependency()
		sub := d.subscription("s", newBreaker())
		s := newScript(t, options{subs: []*Subscription{sub}})
		d.set(true, 0)
		s.assign(0, "")
		s.fetch(0, many(20)...)
		pass(2 * time.Second)
		if n := sub.gated.waiting.Load(); n < 10 {
			t.Fatalf("%d wait before the breaker", n)
		}
		s.engine.Lost(s.owned)
		if n := sub.gated.waiting.Load(); n != 0 {
			t.Errorf("%d wait before the breaker", n)
		}
		s.owned = nil
		s.drain()
	})
}

// The clocks of records that failed before stand still while the breaker is open,
// also for later owners.
func TestClocksStandStillWhileTheBreakerIsOpen(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, b := newDependency(), newBreaker()
		var box letterBox
		sub := d.subscription("s", b)
		sub.Retry = resilience.Retry{Attempts: 5, Elapsed: 30 * time.Second, Initial: time.Millisecond}
		s := newScript(t, options{subs: []*Subscription{sub}, deadLetter: box.write})
		d.set(true, 0)
		s.assign(0, "")
		s.fetch(0, many(8)...)
		pass(9 * time.Second)
		attempts, _ := d.total()
		if b.State() != resilience.Open {
			t.Fatalf("the breaker is %v", b.State())
		}
		pass(2 * time.Hour)
		if len(box.letters) != 0 {
			t.Fatalf("%d dead letters", len(box.letters))
		}
		if s.isPaused(p0) {
			t.Error("paused by age")
		}
		s.revoke()
		commit := s.lastCommit()
		done, err := decodeProgress(&transport.Assignment{Metadata: commit.Metadata, LeaderEpoch: -1, ClusterID: "c"})
		if err != nil || len(done.spent) == 0 {
			t.Fatalf("%v, %+v", err, done)
		}
		for _, spent := range done.spent {
			if age := time.Since(spent.first); age > 30*time.Second {
				t.Errorf("offset %d is handed on with %v of its time used, after %d attempts", spent.offset, age, attempts)
			}
		}
		s.drain()
	})
}

// Verdicts that say nothing about the dependency neither open the breaker nor keep
// it open.
func TestIgnoredOutcomes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, b := newDependency(), newBreaker()
		sub := d.subscription("s", b)
		var ignored sync.Map
		sub.Handle = func(ctx context.Context, a *Attempt) error {
			if _, again := ignored.LoadOrStore(a.Records[0].Offset, true); !again {
				return errIgnored
			}
			return d.call(ctx, a)
		}
		s := newScript(t, options{subs: []*Subscription{sub}})
		s.assign(0, "")
		s.fetch(0, many(40)...)
		if b.State() != resilience.Closed {
			t.Fatalf("the breaker is %v", b.State())
		}
		d.set(true, 0)
		pass(5 * time.Second)
		if b.State() != resilience.Open {
			t.Fatalf("the breaker is %v", b.State())
		}
		d.set(false, 0)
		ignored.Clear() // the probes are ignored, and free their places
		pass(time.Minute)
		if b.State() != resilience.Closed {
			t.Errorf("the breaker is %v", b.State())
		}
		s.drain()
		wantCommit(t, s, 40)
	})
}
