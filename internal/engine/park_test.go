package engine

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// letterBox keeps dead letters, and fails the first few writes.
type letterBox struct {
	letters []*Failure
	tries   int
	fails   int
}

func (b *letterBox) write(_ context.Context, f *Failure, done func(error)) {
	b.tries++
	if b.tries <= b.fails {
		done(errors.New("no leader"))
		return
	}
	b.letters = append(b.letters, f)
	done(nil)
}

// A failing key waits alone: its later records wait behind it, and all other keys
// continue.
func TestFailingKeyWaitsAlone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(8)}})
		s.assign(0, "")
		s.fetch(0, "a", "b", "a", "b", "c")
		wantRunning(t, c, 0, 1, 4)
		c.end(t, 0, retryAfter(time.Minute))
		wantRunning(t, c, 1, 4)
		c.end(t, 1, nil)
		wantRunning(t, c, 3, 4)
		s.fetch(5, "a", "d")
		wantRunning(t, c, 3, 4, 6)
		for _, o := range []int64{3, 4, 6} {
			c.end(t, o, nil)
		}
		parked := s.engine.Snapshot().Partitions[0]
		if parked.ParkedKeys != 1 || len(parked.Parked) != 1 || string(parked.Parked[0].Key) != "a" || parked.Parked[0].Attempts != 1 ||
			parked.Parked[0].State != "retry" || parked.Beyond != 4 {
			t.Errorf("snapshot: %+v", parked)
		}
		pass(time.Minute)
		wantRunning(t, c, 0)
		c.end(t, 0, nil)
		wantRunning(t, c, 2)
		c.end(t, 2, nil)
		wantRunning(t, c, 5)
		c.end(t, 5, nil)
		s.drain()
		wantCommit(t, s, 7)
	})
}

func TestBudgetsEndInADeadLetter(t *testing.T) {
	exact := func(waits ...time.Duration) (total time.Duration) {
		for _, w := range waits {
			total += w
		}
		return total
	}
	for _, c := range []struct {
		name     string
		retry    resilience.Retry
		errs     []error // the last one repeats
		attempts int
		reason   string
		within   time.Duration
	}{
		{"attempts", resilience.Retry{Attempts: 3}, []error{errors.New("broken")}, 3, "exhausted", time.Second},
		{"permanent", resilience.Retry{}, []error{errPermanent}, 1, "permanent", 0},
		{"permanent in the end", resilience.Retry{}, []error{errors.New("broken"), errPermanent}, 2, "permanent", time.Second},
		{"time", resilience.Retry{Attempts: 1000, Elapsed: time.Minute}, []error{retryAfter(25 * time.Second)}, 3, "exhausted", exact(25*time.Second, 25*time.Second)},
		{"waiting costs nothing", resilience.Retry{Attempts: 2}, append(slices.Repeat([]error{errWait}, 50), errors.New("broken")), 2, "exhausted", time.Minute},
		{"nor does it cost time", resilience.Retry{Attempts: 1000, Elapsed: time.Second}, append(append([]error{retryAfter(time.Second / 2)}, slices.Repeat([]error{errWait}, 50)...), retryAfter(time.Second)), 2, "exhausted", time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				var numbers []int
				sub := &Subscription{Name: "s", Retry: c.retry, Handle: func(_ context.Context, a *Attempt) error {
					numbers = append(numbers, a.Number)
					return c.errs[min(len(numbers), len(c.errs))-1]
				}}
				var box letterBox
				s := newScript(t, options{subs: []*Subscription{sub}, deadLetter: box.write})
				s.assign(0, "")
				start := time.Now()
				s.fetch(0, "a")
				pass(time.Hour)
				if len(box.letters) != 1 {
					t.Fatalf("%d letters after attempts %v", len(box.letters), numbers)
				}
				f := box.letters[0]
				if f.Attempts != c.attempts || f.Reason != c.reason || numbers[len(numbers)-1] != c.attempts {
					t.Errorf("letter %+v after attempts %v", f, numbers)
				}
				if took := f.Last.Sub(start); took > c.within {
					t.Errorf("took %v, at most %v", took, c.within)
				}
				if c.reason == "exhausted" && !errors.Is(f.Err, errExhausted) {
					t.Errorf("error %v", f.Err)
				}
				s.drain()
				wantCommit(t, s, 1)
			})
		})
	}
}

// A dead letter that can't be written holds up its key, and only that key, for as
// long as it takes.
func TestDeadLetterThatFailsKeepsItsKey(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		box := letterBox{fails: 20}
		s := newScript(t, options{subs: []*Subscription{c.subscription(4)}, deadLetter: box.write})
		s.assign(0, "")
		s.fetch(0, "a", "a", "b")
		c.end(t, 0, errPermanent)
		c.end(t, 2, nil)
		pass(10 * time.Second)
		wantRunning(t, c)
		wantCommit(t, s, 0)
		if p := s.engine.Snapshot().Partitions[0].Parked; len(p) != 1 || p[0].State != "awaiting dead letter" || p[0].Error != "no leader" {
			t.Errorf("parked: %+v", p)
		}
		pass(10 * time.Minute)
		if len(box.letters) != 1 || box.tries != 21 || string(box.letters[0].Record.Value) != "a@0" {
			t.Fatalf("%d letters after %d tries", len(box.letters), box.tries)
		}
		wantRunning(t, c, 1)
		c.end(t, 1, nil)
		s.drain()
		wantCommit(t, s, 3)
	})
}

// Dead ends and holds take their turn behind the records of their key.
func TestDeadEndsAndHoldsKeepOrder(t *testing.T) {
	for _, order := range []Order{ByKey, ByPartition} {
		inBubble(t, func(t *testing.T) {
			c := newCalls()
			var box letterBox
			sub := c.subscription(4)
			sub.Order = order
			s := newScript(t, options{subs: []*Subscription{sub}, deadLetter: box.write, route: func(r *transport.Record) Route {
				switch r.Offset {
				case 1:
					return Route{End: DeadEnd, Order: order, Reason: "malformed", Err: errors.New("no event")}
				case 3:
					return Route{End: Hold, Order: order, Reason: "unknown"}
				}
				return Route{Subscription: sub}
			}})
			s.assign(0, "")
			s.fetch(0, "a", "a", "a", "a", "a")
			wantRunning(t, c, 0)
			if len(box.letters) != 0 {
				t.Error("the dead end overtook")
			}
			c.end(t, 0, nil)
			if len(box.letters) != 1 || box.letters[0].Attempts != 0 || box.letters[0].Reason != "malformed" {
				t.Errorf("letters %+v", box.letters)
			}
			wantRunning(t, c, 2)
			c.end(t, 2, nil)
			wantRunning(t, c)
			s.fetch(5, "b")
			if order == ByKey {
				wantRunning(t, c, 5)
				c.end(t, 5, nil)
			}
			wantRunning(t, c)
			tick()
			wantCommit(t, s, 3)
			s.drain()
		})
	}
}

// An operator can end a wait, and the timer of an ended wait does not end the next.
func TestUnpark(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(4)}})
		s.assign(0, "")
		s.fetch(0, "a")
		c.end(t, 0, retryAfter(time.Minute))
		if err := s.engine.Unpark(p0, []byte("b")); err == nil {
			t.Error("b is not parked")
		}
		if err := s.engine.Unpark(transport.Partition{Topic: "u"}, []byte("a")); err == nil {
			t.Error("u is not assigned")
		}
		var w *wait
		for l := range s.engine.partition(p0).lanes.all() {
			w = l.wait
		}
		if err := s.engine.UnparkAt(p0, 1); !errors.Is(err, ErrNotFound) {
			t.Errorf("nothing waits at 1: %v", err)
		}
		if err := s.engine.UnparkAt(p0, 0); err != nil {
			t.Error(err)
		}
		c.end(t, 0, retryAfter(time.Minute))
		if err := s.engine.Unpark(p0, []byte("a")); err != nil {
			t.Error(err)
		}
		c.end(t, 0, retryAfter(time.Hour))
		w.resume() // a timer that fired at the same moment
		pass(2 * time.Minute)
		wantRunning(t, c)
		pass(time.Hour)
		c.end(t, 0, nil)
		s.drain()
		wantCommit(t, s, 1)
	})
}
