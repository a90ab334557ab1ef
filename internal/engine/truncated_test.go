package engine

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// The log was truncated: what is unfinished below the cut is still in it, and is not delivered
// again.
func TestTruncatedLogKeepsWhatIsUnfinished(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(8)}})
		s.assign(0, "")
		s.fetch(0, "a", "b", "c", "a", "d")
		wantRunning(t, c, 0, 1, 2, 4)
		c.end(t, 0, errors.New("once"))
		c.end(t, 1, nil)
		c.end(t, 2, nil)
		s.engine.Skipped(p0, 5, 4, errors.New("the log was truncated"))
		c.end(t, 4, nil) // its record is gone
		pass(time.Minute)
		wantCommit(t, s, 0)
		s.fetch(4, "e")
		wantRunning(t, c, 0, 4)
		c.end(t, 4, nil)
		c.end(t, 0, nil)
		wantRunning(t, c, 3) // of the same key, in order
		tick()
		wantCommit(t, s, 3)
		c.end(t, 3, nil)
		tick()
		wantCommit(t, s, 5)
		s.drain()
		wantNothingHeld(t, s)
	})
}

// A batch that was polled and not taken in when its log was truncated counts up to the cut. The
// batch that begins there is of the new log, whatever its length.
func TestTruncatedLogBesideALateBatch(t *testing.T) {
	for _, cut := range []int64{1, 2, 3} {
		inBubble(t, func(t *testing.T) {
			c := newCalls()
			s := newScript(t, options{subs: []*Subscription{c.subscription(8)}})
			s.assign(0, "")
			s.fetch(0, "a", "b")
			c.end(t, 0, nil)
			c.end(t, 1, nil)
			late := s.batch(p0, 2, "c", "d")
			s.engine.Skipped(p0, 4, cut, errors.New("the log was truncated"))
			s.deliver(late)
			var want []int64
			if cut > 2 {
				want = append(want, 2)
			}
			wantRunning(t, c, want...)
			s.fetch(cut, "e", "f", "g")
			want = append(want, cut, cut+1, cut+2)
			wantRunning(t, c, want...)
			for _, o := range want {
				c.end(t, o, nil)
			}
			s.drain()
			wantCommit(t, s, cut+3)
		})
	}
}

// Attempts at records below the cut of a truncated log are cut off, and made again.
func TestTruncatedLogRunsAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var mu sync.Mutex
		attempts := make(map[int64]int)
		s := newScript(t, options{subs: []*Subscription{{Name: "s", Concurrency: 8, Handle: func(ctx context.Context, a *Attempt) error {
			mu.Lock()
			offset := a.Records[0].Offset
			attempts[offset]++
			first := attempts[offset] == 1
			mu.Unlock()
			if first {
				<-ctx.Done()
			}
			return ctx.Err()
		}}}})
		s.assign(0, "")
		s.fetch(0, "a", "b", "c")
		s.engine.Skipped(p0, 3, 2, errors.New("the log was truncated"))
		tick()
		wantCommit(t, s, 2)
		if want := map[int64]int{0: 2, 1: 2, 2: 1}; !maps.Equal(attempts, want) {
			t.Errorf("attempts by offset: %v, want %v", attempts, want)
		}
		s.drain()
	})
}

// Records that took the offsets of others after an unclean election are not those that an
// earlier owner finished or gave up.
func TestUncleanElectionBetweenOwners(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		buried := 0
		s := newScript(t, options{subs: []*Subscription{c.subscription(8)}, deadLetter: func(_ context.Context, _ *Failure, done func(error)) {
			buried++
			done(nil)
		}})
		before := progress{cluster: "c", base: 10, epoch: 4, runs: []int64{1, 3}, spent: []budget{{offset: 14, attempts: 3, first: time.Now(), decided: "exhausted"}}}
		metadata, _ := before.encode(maxMetadata)
		s.epochs, s.owned = 1, []transport.Partition{p0}
		s.engine.Assigned([]transport.Assignment{{Partition: p0, Epoch: 1, Offset: 10, Metadata: metadata, LeaderEpoch: 4, ClusterID: "c"}})
		b := s.batch(p0, 10, "a", "b", "c", "d", "e")
		for i := range b.Records {
			b.Records[i].LeaderEpoch = []int32{3, 4, 5, 5, 5}[i]
		}
		s.deliver(b)
		wantRunning(t, c, 10, 12, 13, 14)
		tick()
		if commit := wantCommit(t, s, 10); commit.LeaderEpoch != 5 {
			t.Errorf("committed with epoch %d, want 5", commit.LeaderEpoch)
		}
		for _, o := range []int64{10, 12, 13, 14} {
			c.end(t, o, nil)
		}
		s.drain()
		wantCommit(t, s, 15)
		if buried != 0 {
			t.Errorf("%d dead letters", buried)
		}
	})
}

// What an earlier owner finished further on may be of a later leader epoch than the records
// that are fetched first: it is still recognized by the owner after this one.
func TestEpochOfFinishedRecords(t *testing.T) {
	before := progress{cluster: "c", base: 10, epoch: 4, runs: []int64{3, 1}}
	metadata, _ := before.encode(maxMetadata)
	// An operator who skips a record knows no epoch.
	skipped, err := Finish(&transport.Assignment{Offset: 10, LeaderEpoch: 3, ClusterID: "c"}, 13)
	if err != nil {
		t.Fatal(err)
	}
	for _, first := range []transport.Commit{{Offset: 10, Metadata: metadata, LeaderEpoch: 4}, skipped} {
		testEpochOfFinishedRecords(t, first)
	}
}

func testEpochOfFinishedRecords(t *testing.T, first transport.Commit) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(8)}})
		assign := func(commit transport.Commit) {
			s.epochs++
			s.owned = []transport.Partition{p0}
			s.engine.Assigned([]transport.Assignment{{Partition: p0, Epoch: s.epochs, Offset: commit.Offset, Metadata: commit.Metadata, LeaderEpoch: commit.LeaderEpoch, ClusterID: "c"}})
		}
		fetch := func(from int64, keys ...string) {
			b := s.batch(p0, from, keys...)
			for i := range b.Records {
				b.Records[i].LeaderEpoch = 3
				if b.Records[i].Offset >= 12 {
					b.Records[i].LeaderEpoch = 4
				}
			}
			s.deliver(b)
		}
		assign(first)
		fetch(10, "a", "b")
		c.end(t, 10, nil)
		s.revokeWhile(t, c, 11)
		assign(wantCommit(t, s, 12))
		fetch(12, "c", "d", "e")
		wantRunning(t, c, 12, 14)
		c.end(t, 14, nil)
		tick()
		s.engine.Lost(s.owned)
		c.end(t, 12, nil) // too late
		assign(wantCommit(t, s, 12))
		fetch(12, "c", "d", "e")
		wantRunning(t, c, 12)
		c.end(t, 12, nil)
		s.drain()
		wantCommit(t, s, 15)
	})
}

// Retention, or an operator, may remove what a truncated log starts over with before it is
// fetched: the first batch then begins behind it.
func TestSkippedWhereATruncatedLogStartsOver(t *testing.T) {
	for _, late := range []bool{false, true} {
		inBubble(t, func(t *testing.T) {
			c := newCalls()
			s := newScript(t, options{subs: []*Subscription{c.subscription(8)}})
			s.assign(0, "")
			s.fetch(0, "a", "b", "c")
			for o := range int64(3) {
				c.end(t, o, nil)
			}
			b := s.batch(p0, 3, "d", "e")
			if late {
				s.engine.Skipped(p0, 5, 2, errors.New("the log was truncated"))
			} else {
				s.engine.Skipped(p0, 3, 2, errors.New("the log was truncated"))
			}
			s.engine.Skipped(p0, 2, 4, errRemoved)
			if late {
				s.deliver(b)
			}
			wantRunning(t, c)
			s.fetch(4, "f", "g")
			wantRunning(t, c, 4, 5)
			c.end(t, 4, nil)
			c.end(t, 5, nil)
			s.drain()
			wantCommit(t, s, 6)
		})
	}
}

// What an earlier owner gave up, and this one has not fetched yet, may be of a later leader epoch
// than the records that are: if its epoch is unknown, so is the commit's.
func TestEpochOfRecordsGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		buried := 0
		s := newScript(t, options{subs: []*Subscription{c.subscription(8)}, deadLetter: func(_ context.Context, _ *Failure, done func(error)) {
			buried++
			done(nil)
		}})
		assign := func(commit transport.Commit) {
			s.epochs++
			s.owned = []transport.Partition{p0}
			s.engine.Assigned([]transport.Assignment{{Partition: p0, Epoch: s.epochs, Offset: commit.Offset, Metadata: commit.Metadata, LeaderEpoch: commit.LeaderEpoch, ClusterID: "c"}})
		}
		fetch := func(from int64, epoch int32, keys ...string) {
			b := s.batch(p0, from, keys...)
			for i := range b.Records {
				b.Records[i].LeaderEpoch = epoch
			}
			s.deliver(b)
		}
		before := progress{cluster: "c", base: 9, epoch: 4, spent: []budget{{offset: 12, attempts: 3, first: time.Now(), decided: "exhausted"}}}
		metadata, _ := before.encode(maxMetadata)
		skipped, err := Finish(&transport.Assignment{Offset: 9, LeaderEpoch: 4, ClusterID: "c", Metadata: metadata}, 9)
		if err != nil {
			t.Fatal(err)
		}
		assign(skipped)
		fetch(10, 3, "a", "b")
		c.end(t, 10, nil)
		s.revokeWhile(t, c, 11)
		assign(wantCommit(t, s, 12))
		fetch(12, 4, "c", "d")
		wantRunning(t, c, 13)
		c.end(t, 13, nil)
		s.drain()
		wantCommit(t, s, 14)
		if buried != 1 {
			t.Errorf("%d dead letters, want 1", buried)
		}
	})
}

// A drain that could not wait may abandon a partition while its log starts over.
func TestDrainWhileALogStartsOver(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		sub := c.subscription(8)
		s := newScript(t, options{subs: []*Subscription{sub}})
		handle := sub.Handle
		sub.Handle = func(ctx context.Context, a *Attempt) error {
			if a.Records[0].Offset == 2 {
				ctx.(*attemptContext).AfterFunc(func() { s.engine.abandon(s.engine.owned()) })
			}
			return handle(ctx, a)
		}
		s.assign(0, "")
		s.fetch(0, "a", "b", "c")
		wantRunning(t, c, 0, 1, 2)
		s.engine.Skipped(p0, 3, 2, errors.New("the log was truncated"))
		wantRunning(t, c, 0, 1, 2) // none again
		for o := range int64(3) {
			c.end(t, o, nil)
		}
		s.drain()
		wantNothingHeld(t, s)
	})
}

// Behind a batch that was polled and not taken in, offsets may have been skipped when the log is
// truncated.
func TestTruncatedLogBehindALateBatch(t *testing.T) {
	for _, cut := range []int64{2, 3, 5} {
		inBubble(t, func(t *testing.T) {
			c := newCalls()
			s := newScript(t, options{subs: []*Subscription{c.subscription(8)}})
			s.assign(0, "")
			s.fetch(0, "a", "b")
			c.end(t, 0, nil)
			c.end(t, 1, nil)
			late := s.batch(p0, 2, "c", "d")
			s.engine.Skipped(p0, 4, 6, errRemoved)
			s.engine.Skipped(p0, 6, cut, errors.New("the log was truncated"))
			s.deliver(late)
			var want []int64
			for o := int64(2); o < min(cut, 4); o++ {
				want = append(want, o)
			}
			wantRunning(t, c, want...)
			s.fetch(cut, "e", "f")
			want = append(want, cut, cut+1)
			wantRunning(t, c, want...)
			for _, o := range want {
				c.end(t, o, nil)
			}
			s.drain()
			wantCommit(t, s, cut+2)
		})
	}
}

// A log may start over while a batch of it is being taken in: what the batch has below the cut is
// taken in all the same, since it is not delivered again.
func TestTruncatedLogDuringIntake(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		sub := c.subscription(8)
		var s *script
		cut := false
		s = newScript(t, options{subs: []*Subscription{sub}, route: func(r *transport.Record) Route {
			if r.Offset == 2 && !cut {
				cut = true
				s.engine.Skipped(p0, 4, 3, errors.New("the log was truncated"))
			}
			return Route{Subscription: sub}
		}})
		s.assign(0, "")
		s.fetch(0, "a", "b")
		c.end(t, 0, nil)
		c.end(t, 1, nil)
		late := s.fetch(2, "c", "d")
		wantRunning(t, c, 2)
		s.fetch(3, "e")
		wantRunning(t, c, 2, 3)
		c.end(t, 2, nil)
		c.end(t, 3, nil)
		s.drain()
		wantCommit(t, s, 4)
		if n := s.released[late.From]; n != 1 {
			t.Errorf("the batch was released %d times", n)
		}
	})
}

// wantNothingHeld checks that the engine holds no records and counts none of their bytes.
func wantNothingHeld(t *testing.T, s *script) {
	t.Helper()
	if at := s.engine.Snapshot(); at.Records != 0 || at.Bytes != 0 {
		t.Errorf("%d records of %d bytes left over", at.Records, at.Bytes)
	}
}
