package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// waiting returns a subscription with a batch handler that waits for full batches of
// three, for at most ten seconds.
func (b *batches) waiting() *Subscription {
	sub := b.subscription(3)
	sub.Concurrency, sub.Gatherer = 4, NewGatherer(10*time.Second)
	return sub
}

// A batch waits until it is full, or its first record has waited, and no longer.
func TestBatchWait(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := new(batches)
		s := newScript(t, options{subs: []*Subscription{b.waiting()}})
		s.assign(0, "")
		s.fetch(0, "a", "b")
		pass(9 * time.Second)
		b.want(t)
		s.fetch(2, "c", "d")
		pass(0)
		b.want(t, "0 1 2") // full: d begins a batch of its own
		pass(9 * time.Second)
		b.want(t, "0 1 2")
		pass(2 * time.Second)
		b.want(t, "0 1 2", "3")
		s.fetch(4, "a")
		pass(5 * time.Second)
		s.fetch(5, "a", "a") // into a waiting lane: one key fills the batch
		pass(0)
		b.want(t, "0 1 2", "3", "4 5 6")
		s.drain()
		wantCommit(t, s, 7)
	})
}

// The records that fill a batch go to one worker, however many wait. Another would take
// a part only by chance, hence the rounds.
func TestBatchWaitDividesNoBatch(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := new(batches)
		s := newScript(t, options{subs: []*Subscription{b.waiting()}})
		s.assign(0, "")
		var want []string
		for at := int64(0); at < 3*300; at += 3 {
			s.fetch(at, "a", "b")
			s.fetch(at+2, "c")
			pass(0)
			want = append(want, fmt.Sprint(at, at+1, at+2))
		}
		b.want(t, want...)
		s.drain()
	})
}

// With order by partition, a batch that can't include the next record can't become
// full. It does not wait, and does not make that record wait.
func TestBatchWaitByPartition(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := new(batches)
		sub, other := b.waiting(), b.subscription(1)
		sub.Order, other.Order = ByPartition, ByPartition
		s := newScript(t, options{subs: []*Subscription{sub, other}, route: func(r *transport.Record) Route {
			if string(r.Key) == "other" {
				return Route{Subscription: other}
			}
			return Route{Subscription: sub}
		}})
		s.assign(0, "")
		s.fetch(0, "a", "b", "other", "c", "other")
		pass(0)
		b.want(t, "0 1", "2", "3", "4")
		s.fetch(5, "a")
		pass(time.Second)
		b.want(t, "0 1", "2", "3", "4")
		s.fetch(6, "other")
		pass(0)
		b.want(t, "0 1", "2", "3", "4", "5", "6")
		s.drain()
		wantCommit(t, s, 7)
	})
}

// A full batch goes to one worker, however many look for work at once.
func TestBatchWaitIsWhole(t *testing.T) {
	for range 50 {
		inBubble(t, func(t *testing.T) {
			var sizes []int
			var mu sync.Mutex
			sub := &Subscription{Name: "s", Concurrency: 8, BatchSize: 50, Gatherer: NewGatherer(10 * time.Second), Handle: func(_ context.Context, a *Attempt) error {
				mu.Lock()
				defer mu.Unlock()
				sizes = append(sizes, len(a.Records))
				return nil
			}}
			s := newScript(t, options{subs: []*Subscription{sub}})
			s.assign(0, "")
			keys := make([]string, 150)
			for i := range keys {
				keys[i] = fmt.Sprint(i)
			}
			s.fetch(0, keys...)
			pass(0)
			mu.Lock()
			if fmt.Sprint(sizes) != "[50 50 50]" {
				t.Errorf("batches of %v", sizes)
			}
			mu.Unlock()
			s.drain()
		})
	}
}

// A record that was tried before waits only for its retry, and a drain does not wait
// for full batches.
func TestBatchWaitHoldsUpNoRetryAndNoDrain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := &batches{errs: func(o string) error {
			if o == "0 1 2" {
				return someFailed{1: errors.New("broken")}
			}
			return nil
		}}
		s := newScript(t, options{subs: []*Subscription{b.waiting()}})
		s.assign(0, "")
		s.fetch(0, "a", "b", "c", "d")
		pass(0)
		b.want(t, "0 1 2", "1")
		before := time.Now()
		s.drain()
		if took := time.Since(before); took > time.Second {
			t.Errorf("the drain took %v", took)
		}
		wantCommit(t, s, 3) // d is the next owner's
		pass(time.Minute)
		b.want(t, "0 1 2", "1")
	})
}

// A limit delays records: a burst at once, then some per second, in order, and none is
// lost.
func TestLimit(t *testing.T) {
	for _, size := range []int{1, 4} {
		t.Run(fmt.Sprint("batches of ", size), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				var handled atomic.Int64
				sub := &Subscription{Name: "s", Concurrency: 8, BatchSize: size, Limit: NewLimit(2, 4), Handle: func(_ context.Context, a *Attempt) error {
					handled.Add(int64(len(a.Records)))
					return nil
				}}
				s := newScript(t, options{subs: []*Subscription{sub}})
				s.assign(0, "")
				s.fetch(0, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t")
				pass(0)
				n := int(handled.Load())
				if n < 4 || n > 4+size-1 {
					t.Errorf("%d at once, want the burst", n)
				}
				if snap := sub.Snapshot(); !snap.Limited {
					t.Error("it does not show as limited")
				}
				pass(4 * time.Second)
				n = int(handled.Load())
				if n < 12-size || n > 12+size {
					t.Errorf("%d after four seconds, want 12", n)
				}
				pass(10 * time.Second)
				n = int(handled.Load())
				if n != 20 {
					t.Errorf("%d in the end", n)
				}
				if snap := sub.Snapshot(); snap.Limited {
					t.Error("it shows as limited, and nothing waits")
				}
				s.drain()
				wantCommit(t, s, 20)
			})
		})
	}
}

// A drain leaves records that wait for a limit to the next owner, at once.
func TestLimitHoldsUpNoDrain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := new(batches)
		sub := b.subscription(1)
		sub.Limit = NewLimit(0.1, 1)
		s := newScript(t, options{subs: []*Subscription{sub}})
		s.assign(0, "")
		s.fetch(0, "a", "b", "c")
		pass(time.Second)
		before := time.Now()
		s.drain()
		if took := time.Since(before); took > time.Second {
			t.Errorf("the drain took %v", took)
		}
		b.want(t, "0")
		wantCommit(t, s, 1)
	})
}

// Records that an open breaker holds back use up nothing of the limit.
func TestLimitBehindABreaker(t *testing.T) {
	l := NewLimit(1, 2).(*bucket)
	if l.Wait(time.Now()) > 0 {
		t.Error("a full bucket waits")
	}
	l.Take(2)
	if l.Wait(time.Now()) <= 0 {
		t.Error("an empty one does not")
	}
	sub := &Subscription{Limit: l}
	sub.charge(-2)
	if l.Wait(time.Now()) > 0 {
		t.Error("what was given back is gone")
	}
}

// Records that were taken but not tried when their partition was revoked use up nothing
// of the limit.
func TestLimitOfWhatGoes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sub := new(batches).subscription(1)
		sub.Limit = NewLimit(0.1, 1)
		s := newScript(t, options{subs: []*Subscription{sub}})
		w := &worker{sub: sub, lanes: []*lane{{partition: &partition{state: partitionDraining}}}}
		sub.charge(len(w.lanes)) // as take does
		w.run()
		if wait := sub.Limit.Wait(time.Now()); wait > 0 {
			t.Errorf("the next record waits for %v, and none was tried", wait)
		}
		s.drain()
	})
}

// A discarded record is finished even while its partition drains, and counted once.
func TestDiscardInADrain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		sub := c.subscription(1)
		sub.Retry = resilience.NoRetry()
		s := newScript(t, options{subs: []*Subscription{sub}})
		s.engine.judge = func(error) Verdict { return Verdict{Kind: Discard, Reason: "x", Breaker: resilience.Ignored} }
		s.assign(0, "")
		s.fetch(0, "a", "a")
		wantRunning(t, c, 0)
		done := make(chan struct{})
		go func() { s.drain(); close(done) }()
		pass(0)
		c.end(t, 0, errors.New("given up"))
		<-done
		wantCommit(t, s, 1)
		if n := sub.Snapshot().Discarded; n != 1 {
			t.Errorf("%d discarded", n)
		}
	})
}
