package engine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// A clean stop lets running handlers finish and commits their records; waiting
// records go to the next owner.
func TestCleanStopRepeatsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig(t, 1)
		sub := func() *Subscription {
			return r.handled("s", func(context.Context, *transport.Record, int) error {
				time.Sleep(50 * time.Millisecond)
				return nil
			})
		}
		for i := range 200 {
			r.write(to(keyN(i%20), "v"))
		}
		for len(r.cluster.Groups()) == 0 || r.committed().Offset < 200 {
			m := r.join(options{subs: []*Subscription{sub()}})
			pass(170 * time.Millisecond)
			m.leave()
		}
		if n := r.ledger.check(); n != 0 {
			t.Errorf("%d repeated", n)
		}
	})
}

// A handler that runs past the drain bound is cancelled and counted, and its record
// goes to the next owner.
func TestHandlerPastTheDrainBoundIsAbandoned(t *testing.T) {
	for _, obeys := range []bool{true, false} {
		inBubble(t, func(t *testing.T) {
			c := newCalls()
			var cause error
			returned := make(chan struct{})
			sub := &Subscription{Name: "s", Concurrency: 4, Handle: func(ctx context.Context, a *Attempt) error {
				if a.Records[0].Offset == 1 {
					return c.handle(ctx, a)
				}
				defer close(returned)
				<-ctx.Done()
				cause = ctx.Err()
				if !obeys {
					time.Sleep(time.Hour)
					return nil
				}
				return errors.New("on the way out")
			}}
			s := newScript(t, options{subs: []*Subscription{sub}})
			s.assign(0, "")
			s.fetch(0, "a", "b")
			c.end(t, 1, nil)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			start := time.Now()
			if err := s.engine.Drain(ctx); err != nil {
				t.Error(err)
			}
			want := 9 * time.Second // the soft deadline
			if !obeys {
				want = 10 * time.Second
			}
			if took := time.Since(start); took != want {
				t.Errorf("drained after %v, want %v", took, want)
			}
			if n := s.engine.Abandoned(); n != 1 {
				t.Errorf("%d abandoned", n)
			}
			commit := wantCommit(t, s, 0)
			if commit.Metadata == "" {
				t.Error("the finished record behind it is not in the metadata")
			}
			<-returned
			if cause != context.Canceled {
				t.Errorf("the context ended with %v", cause)
			}
			synctest.Wait()
			wantCommit(t, s, 0) // its late result changes nothing
		})
	}
}

// A handler that succeeds between its cancellation and the final commit has handled
// its record, and nothing is abandoned.
func TestSuccessAfterCancellationCounts(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sub := &Subscription{Name: "s", Handle: func(ctx context.Context, _ *Attempt) error {
			<-ctx.Done()
			return nil
		}}
		s := newScript(t, options{subs: []*Subscription{sub}})
		s.assign(0, "")
		s.fetch(0, "a")
		s.drain()
		wantCommit(t, s, 1)
		if n := s.engine.Abandoned(); n != 0 {
			t.Errorf("%d abandoned", n)
		}
	})
}

func TestDrainWithAContextThatHasEnded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(4)}})
		s.assign(0, "")
		s.fetch(0, "a", "b")
		c.end(t, 0, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		if err := s.engine.Drain(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > lateCommit {
			t.Errorf("took %v", took)
		}
		wantCommit(t, s, 1)
		if n := s.engine.Abandoned(); n != 1 {
			t.Errorf("%d abandoned", n)
		}
		if err := s.engine.Drain(ctx); err != nil {
			t.Errorf("again: %v", err)
		}
		c.end(t, 1, nil)
	})
}

// Waits never hold up a revocation.
func TestRevocationDoesNotWaitForParkedKeys(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{
			subs: []*Subscription{c.subscription(4)},
			deadLetter: func(_ context.Context, _ *Failure, done func(error)) {
				done(errors.New("no leader"))
			},
		})
		s.assign(0, "")
		s.fetch(0, "a", "a", "b", "c")
		c.end(t, 0, retryAfter(time.Hour))
		c.end(t, 2, errPermanent)
		c.end(t, 3, nil)
		start := time.Now()
		s.revoke()
		if took := time.Since(start); took > 0 {
			t.Errorf("took %v", took)
		}
		wantCommit(t, s, 0)
		s.drain()
		if s.engine.parking.waits.Len() != 0 {
			t.Errorf("%d waits are left", s.engine.parking.waits.Len())
		}
	})
}

// A drain waits for a dead letter that is being written, for a bounded time.
func TestDrainAwaitsDeadLettersUnderWay(t *testing.T) {
	for _, c := range []struct {
		takes     time.Duration
		waits     time.Duration
		committed int64
	}{
		{3 * time.Second, 3 * time.Second, 2},
		{time.Minute, letterPatience, 0},
	} {
		inBubble(t, func(t *testing.T) {
			calls := newCalls()
			s := newScript(t, options{
				subs: []*Subscription{calls.subscription(4)},
				deadLetter: func(_ context.Context, _ *Failure, done func(error)) {
					time.AfterFunc(c.takes, func() { done(nil) })
				},
			})
			s.assign(0, "")
			s.fetch(0, "a", "b")
			calls.end(t, 1, nil)
			drained := make(chan time.Duration)
			start := time.Now()
			go func() {
				s.drain()
				drained <- time.Since(start)
			}()
			// Decided during the drain, and still written.
			calls.end(t, 0, errPermanent)
			if took := <-drained; took != c.waits {
				t.Errorf("took %v, want %v", took, c.waits)
			}
			wantCommit(t, s, c.committed)
			pass(time.Minute) // the late acknowledgement changes nothing
			wantCommit(t, s, c.committed)
		})
	}
}

// Nothing of a lost partition is committed, and its running handlers are cancelled.
func TestLostPartitionCommitsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		told := make(chan struct{})
		sub := &Subscription{Name: "s", Concurrency: 4, Handle: func(ctx context.Context, a *Attempt) error {
			if a.Records[0].Offset == 2 {
				<-ctx.Done()
				close(told)
				return ctx.Err()
			}
			return c.handle(ctx, a)
		}}
		s := newScript(t, options{subs: []*Subscription{sub}})
		s.assign(0, "")
		s.fetch(0, "a", "b", "c")
		c.end(t, 0, nil)
		s.engine.Lost(s.owned)
		<-told
		c.end(t, 1, nil)
		tick()
		wantCommit(t, s, -1)
		if n := s.engine.Abandoned(); n != 2 {
			t.Errorf("%d abandoned", n)
		}
		if records := s.engine.Snapshot().Records; records != 0 {
			t.Errorf("%d records are still counted", records)
		}
		s.owned = nil
		s.drain()
	})
}

// Batches fetched under an earlier assignment are dropped.
func TestBatchOfAnEarlierEpochIsDropped(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(4)}})
		s.assign(0, "")
		old := s.batch(p0, 0, "a", "b")
		s.revoke()
		s.deliver(old) // nobody owns it
		if s.releases(0) != 1 {
			t.Error("not released")
		}
		s.assign(0, "")
		old = s.batch(p0, 0, "a", "b")
		old.Epoch = 1
		s.deliver(old)
		wantRunning(t, c)
		s.fetch(0, "a", "b")
		wantRunning(t, c, 0, 1)
		c.end(t, 0, nil)
		c.end(t, 1, nil)
		s.drain()
		wantCommit(t, s, 2)
	})
}

// Flush comes before the final commit, and leaves time for it.
func TestFlushComesBeforeTheFinalCommit(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		var flushed time.Time
		s := newScript(t, options{subs: []*Subscription{c.subscription(4)}, flush: func(ctx context.Context) error {
			<-ctx.Done()
			flushed = time.Now()
			return ctx.Err()
		}})
		s.assign(0, "")
		s.fetch(0, "a")
		c.end(t, 0, nil)
		s.refuse = func(transport.Commit) error {
			if flushed.IsZero() {
				t.Error("committed before the flush")
			}
			return nil
		}
		s.drain()
		wantCommit(t, s, 1)
	})
}

// Calls of the transport before Start wait for it.
func TestListenerWaitsForStart(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		e := New(Config{Group: group, Judge: judge})
		s := &script{t: t, engine: e, batches: make(chan []transport.Batch), paused: make(map[transport.Partition]bool)}
		go func() {
			e.Assigned([]transport.Assignment{{Partition: p0, Epoch: 1}})
			e.Revoked(context.Background(), []transport.Partition{p0})
			e.Lost([]transport.Partition{p0})
			e.Skipped(p0, 1, 2, errors.New("gone"))
		}()
		synctest.Wait()
		if n := len(e.owned()); n != 0 {
			t.Errorf("%d partitions before Start", n)
		}
		if e.Snapshot().Alive {
			t.Error("alive before Start")
		}
		e.Start(s)
		synctest.Wait()
		s.drain()
	})
}
