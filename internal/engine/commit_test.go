package engine

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

func TestCommitGoesWithoutMetadataWhereItIsTooLarge(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(8)}})
		s.refuse = func(commit transport.Commit) error {
			if commit.Metadata != "" {
				return transport.ErrMetadataTooLarge
			}
			return nil
		}
		s.assign(0, "")
		s.fetch(0, "a", "b", "c")
		c.end(t, 0, nil)
		c.end(t, 2, nil)
		tick()
		if commit := wantCommit(t, s, 1); commit.Metadata != "" {
			t.Error("metadata was stored")
		}
		c.end(t, 1, nil)
		s.drain()
		wantCommit(t, s, 3)
	})
}

func TestFailedCommitIsTriedAgainAtTheNextTick(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(8)}})
		left := 2
		s.refuse = func(transport.Commit) error {
			if left--; left >= 0 {
				return errors.New("coordinator is loading")
			}
			return nil
		}
		s.assign(0, "")
		s.fetch(0, "a")
		c.end(t, 0, nil)
		tick()
		tick()
		wantCommit(t, s, -1)
		tick()
		wantCommit(t, s, 1)
		s.drain()
	})
}

// There is no next tick after a drain, so a failed commit is retried at once.
func TestLastCommitIsTriedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(8)}})
		left := 3
		s.refuse = func(transport.Commit) error {
			if left--; left >= 0 {
				return errors.New("coordinator is loading")
			}
			return nil
		}
		s.assign(0, "")
		s.fetch(0, "a")
		c.end(t, 0, nil)
		s.drain()
		wantCommit(t, s, 1)
	})
}

func TestFencedLastCommitIsNotTriedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(8)}})
		tries := 0
		s.refuse = func(transport.Commit) error {
			tries++
			return transport.ErrFenced
		}
		s.assign(0, "")
		s.fetch(0, "a")
		c.end(t, 0, nil)
		start := time.Now()
		s.drain()
		if tries != 1 || time.Since(start) > 0 {
			t.Errorf("%d tries within %v", tries, time.Since(start))
		}
	})
}

// A commit that waits for a broker holds up neither the check for stuck handlers
// nor, beyond its context, a revocation.
func TestWaitingCommitHoldsNothingUp(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		sub := c.subscription(1)
		sub.Timeout = time.Second
		s := newScript(t, options{subs: []*Subscription{sub}})
		s.mu.Lock()
		s.blocked = make(chan struct{})
		s.mu.Unlock()
		s.assign(0, "")
		s.fetch(0, "a", "b", "c")
		c.end(t, 0, nil)
		wantRunning(t, c, 1)
		pass(4 * time.Second) // the handler of b ignores its timeout
		wantRunning(t, c, 1, 2)
		c.end(t, 1, nil)
		c.end(t, 2, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		s.engine.Revoked(ctx, s.owned)
		if took := time.Since(start); took > 3*time.Second+lateCommit {
			t.Errorf("revoked after %v", took)
		}
		close(s.blocked)
		s.drain()
	})
}

// The commits of one assignment do not count for the next.
func TestReassignedPartitionCommitsAnew(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(8)}})
		s.assign(0, "")
		s.fetch(0, "a")
		s.mu.Lock()
		blocked := make(chan struct{})
		s.blocked = blocked
		s.mu.Unlock()
		c.end(t, 0, nil)
		tick()
		synctest.Wait() // the commit of offset 1 is in flight
		s.engine.Lost(s.owned)
		s.assign(0, "")
		s.fetch(0, "a")
		c.end(t, 0, nil)
		s.mu.Lock()
		s.blocked = nil
		s.mu.Unlock()
		close(blocked)
		tick()
		tick()
		if commit := wantCommit(t, s, 1); commit.Epoch != 2 {
			t.Errorf("committed under epoch %d", commit.Epoch)
		}
		s.drain()
	})
}

// Progress that fills the metadata stops fetching, until handling the fetched
// records has made room.
func TestCrowdedMetadataPausesAndResumes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		sub := &Subscription{Name: "s", Concurrency: 1 << 15, Order: Unordered, Handle: func(ctx context.Context, a *Attempt) error {
			if a.Records[0].Offset%2 == 0 {
				return c.handle(ctx, a)
			}
			return nil
		}}
		s := newScript(t, options{subs: []*Subscription{sub}, bounds: Bounds{Records: 1 << 20}})
		s.assign(0, "")
		keys := make([]string, 1000)
		next := int64(0)
		for !s.isPaused(p0) {
			s.fetch(next, keys...)
			next += int64(len(keys))
			if next > 40_000 {
				t.Fatal("never paused")
			}
		}
		tick()
		if p := s.engine.Snapshot().Partitions[0]; !p.Crowded || p.MetadataUse < 0.7 || p.MetadataUse > 1 {
			t.Errorf("crowded: %v, with %.2f of the metadata in use", p.Crowded, p.MetadataUse)
		}
		commit := wantCommit(t, s, 0)
		done, err := decodeProgress(&transport.Assignment{Metadata: commit.Metadata, LeaderEpoch: -1, ClusterID: "c"})
		if err != nil {
			t.Fatal(err)
		}
		finished := int64(0)
		for _, span := range done.spans() {
			finished += span.to - span.from
		}
		if finished != next/2 {
			t.Errorf("%d of %d finished offsets are in the metadata", finished, next/2)
		}
		for _, o := range c.list() {
			if !s.isPaused(p0) {
				break
			}
			c.end(t, o, nil)
		}
		if len(c.list()) == 0 {
			t.Error("resumed with the last record alone")
		}
		for _, o := range c.list() {
			c.end(t, o, nil)
		}
		tick()
		if p := s.engine.Snapshot().Partitions[0]; p.Crowded || p.MetadataUse > 0.1 {
			t.Errorf("crowded: %v, with %.2f of the metadata in use by nothing", p.Crowded, p.MetadataUse)
		}
		s.drain()
		wantCommit(t, s, next)
	})
}

// Inherited progress alone may fill the metadata. Only fetching the records that it
// leaves open makes room, so a pause would never end.
func TestInheritedCrowdDoesNotStall(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		before := &progress{cluster: "c", epoch: -1}
		for range 11_900 {
			before.runs = append(before.runs, 1, 1)
		}
		metadata, complete := before.encode(maxMetadata)
		if !complete || len(metadata) < maxMetadata*9/10 {
			t.Fatalf("%d characters, complete: %v", len(metadata), complete)
		}
		c, handled := newCalls(), atomic.Int64{}
		sub := &Subscription{Name: "s", Concurrency: 2, Handle: func(ctx context.Context, a *Attempt) error {
			handled.Add(1)
			if a.Records[0].Offset == 0 {
				return c.handle(ctx, a) // holds the watermark all the time
			}
			return nil
		}}
		s := newScript(t, options{subs: []*Subscription{sub}})
		s.assign(0, metadata)
		tick()
		keys := make([]string, 100)
		for next := int64(0); next < 23_800; next += int64(len(keys)) {
			for range 5 {
				if !s.isPaused(p0) {
					break
				}
				tick()
			}
			if s.isPaused(p0) {
				t.Fatalf("paused at %d", next)
			}
			s.fetch(next, keys...)
		}
		c.end(t, 0, nil)
		tick()
		wantCommit(t, s, 23_800)
		if n := handled.Load(); n != 11_900 {
			t.Errorf("%d handled", n)
		}
		s.drain()
	})
}
