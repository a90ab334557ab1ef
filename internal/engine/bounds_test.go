package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// many returns n different keys.
func many(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = keyN(i)
	}
	return keys
}

// A bound so large that it means no bound holds nothing up.
func TestHugeBounds(t *testing.T) {
	p := pool{bounds: Bounds{Records: math.MaxInt/2 + 1, Bytes: math.MaxInt64/2 + 1}.withDefaults(), changed: func() {}}
	if p.take(1000, 1000); !p.roomy() || p.full() {
		t.Errorf("resumed at %d records and %d bytes", p.resumeRecords(), p.resumeBytes())
	}
	for n := range int64(20) {
		if got := threeQuarters(n); got != n*3/4 {
			t.Errorf("three quarters of %d are %d", n, got)
		}
	}
}

func TestFullPoolPausesAndResumes(t *testing.T) {
	for _, c := range []struct {
		name   string
		bounds Bounds
	}{
		{"records", Bounds{Records: 40, MinRecords: 4}},
		{"bytes", Bounds{Bytes: 40 * int64((&transport.Record{}).Size()+10), MinRecords: 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				calls := newCalls()
				s := newScript(t, options{subs: []*Subscription{calls.subscription(64)}, bounds: c.bounds})
				s.assign(0, "")
				s.fetch(0, many(30)...)
				if s.isPaused(p0) {
					t.Fatal("paused before the bound")
				}
				s.fetch(30, many(20)...)
				if !s.isPaused(p0) {
					t.Fatal("not paused at the bound")
				}
				for s.isPaused(p0) {
					calls.end(t, calls.list()[0], nil)
				}
				if left := s.engine.Snapshot().Records; left < 5 || left > 30 {
					t.Errorf("resumed at %d records", left)
				}
				for _, o := range calls.list() {
					calls.end(t, o, nil)
				}
				for len(calls.list()) > 0 {
					calls.end(t, calls.list()[0], nil)
				}
				snap := s.engine.Snapshot()
				if snap.Records != 0 || snap.Bytes != 0 {
					t.Errorf("%d records and %d bytes are left over", snap.Records, snap.Bytes)
				}
				s.drain()
				wantCommit(t, s, 50)
			})
		})
	}
}

// At their bound, parked keys pause the partitions that they are in, and no others.
func TestParkedBounds(t *testing.T) {
	other := transport.Partition{Topic: "t", Partition: 1}
	for _, c := range []struct {
		name    string
		bounds  Bounds
		records []string
		fail    int
	}{
		{"keys", Bounds{ParkedKeys: 3}, []string{"a", "b", "c", "d"}, 3},
		{"records", Bounds{Records: 20}, []string{"a", "a", "a", "a", "a", "a", "a", "a", "a", "a", "d"}, 1},
		{"bytes", Bounds{Bytes: 1400}, []string{"a", "a", "a", "a", "a", "a", "a", "a", "a", "a", "d"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				calls := newCalls()
				s := newScript(t, options{subs: []*Subscription{calls.subscription(64)}, bounds: c.bounds})
				s.assign(0, "")
				s.assignPartition(other, 0, "")
				b := s.batch(p0, 0, c.records...)
				b.Epoch = 1
				s.deliver(b)
				for _, o := range calls.list()[:c.fail] {
					calls.end(t, o, retryAfter(time.Hour))
				}
				calls.end(t, calls.list()[0], nil) // the rest of the partition succeeds
				s.deliver(s.batch(other, 0, "x"))
				if !s.isPaused(p0) {
					t.Error("the partition with the parked keys fetches on")
				}
				if s.isPaused(other) {
					t.Error("the other one does not")
				}
				calls.end(t, 0, nil)
				if s.engine.Snapshot().ParkedKeys != int64(c.fail) {
					t.Fatalf("%d parked", s.engine.Snapshot().ParkedKeys)
				}
				if err := s.engine.Unpark(p0, []byte("a")); err != nil {
					t.Fatal(err)
				}
				if s.isPaused(p0) {
					t.Error("not resumed when a key has left")
				}
				for len(calls.list()) > 0 {
					calls.end(t, calls.list()[0], nil)
				}
				s.revoke()
				snap := s.engine.Snapshot()
				if snap.ParkedKeys != 0 || snap.ParkedBytes != 0 || snap.Records != 0 || s.engine.pool.parkedRecords.Load() != 0 {
					t.Errorf("left over: %+v", snap)
				}
				s.drain()
			})
		})
	}
}

// A waiting key, however long it waits, stops no other key of its partition, even if its
// dead letter is refused again and again.
func TestWaitingKeyStopsNoOther(t *testing.T) {
	for name, err := range map[string]error{"retry": retryAfter(24 * time.Hour), "dead letter": errPermanent} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				var others atomic.Int64
				sub := &Subscription{Name: "s", Concurrency: 8, Retry: resilience.Unlimited(), Handle: func(_ context.Context, a *Attempt) error {
					if string(a.Records[0].Key) == "a" {
						return err
					}
					others.Add(1)
					return nil
				}}
				s := newScript(t, options{subs: []*Subscription{sub}, deadLetter: func(_ context.Context, _ *Failure, done func(error)) {
					done(errors.New("no leader"))
				}})
				s.assign(0, "")
				s.fetch(0, "a")
				for i := range int64(10) {
					pass(time.Hour)
					if s.isPaused(p0) {
						t.Fatalf("paused after %d hours", i+1)
					}
					s.fetch(1+50*i, many(50)...)
				}
				if n := others.Load(); n != 500 {
					t.Errorf("%d of 500 events of other keys handled", n)
				}
				s.drain()
			})
		})
	}
}

// A full pool leaves every partition its minimum.
func TestMinimumOfEachPartition(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(1)}, bounds: Bounds{Records: 50, MinRecords: 10}})
		s.assign(0, "")
		s.fetch(0, many(60)...)
		if !s.isPaused(p0) {
			t.Error("the full partition fetches on")
		}
		other := transport.Partition{Topic: "t", Partition: 1}
		s.assignPartition(other, 0, "")
		s.deliver(s.batch(other, 0, many(9)...))
		if s.isPaused(other) {
			t.Error("the other one is paused below its minimum")
		}
		s.deliver(s.batch(other, 9, many(1)...))
		if !s.isPaused(other) {
			t.Error("it fetches on beyond it")
		}
		for len(c.list()) > 0 {
			c.end(t, c.list()[0], nil)
		}
		if s.isPaused(p0) || s.isPaused(other) {
			t.Error("paused and empty")
		}
		s.drain()
	})
}

// One partition's backlog does not keep another one's records from a worker.
func TestFairAcrossPartitions(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var handled []int32
		sub := &Subscription{Name: "s", Concurrency: 1, Handle: func(_ context.Context, a *Attempt) error {
			handled = append(handled, a.Records[0].Partition)
			time.Sleep(time.Millisecond)
			return nil
		}}
		s := newScript(t, options{subs: []*Subscription{sub}})
		for i := range int32(4) {
			s.assignPartition(transport.Partition{Topic: "t", Partition: i}, 0, "")
		}
		b := s.batch(p0, 0, many(1000)...)
		b.Epoch = 1
		s.deliver(b)
		var others []transport.Batch
		for i := int32(1); i < 4; i++ {
			b := s.batch(transport.Partition{Topic: "t", Partition: i}, 0, many(10)...)
			b.Epoch = uint64(i + 1)
			others = append(others, b)
		}
		s.deliver(others...)
		pass(time.Minute)
		seen := make(map[int32]int)
		for _, p := range handled[:60] {
			seen[p]++
		}
		if seen[1] != 10 || seen[2] != 10 || seen[3] != 10 {
			t.Errorf("among the first 60: %v", seen)
		}
		s.drain()
	})
}

// The worker of a quick handler stays with a partition for one turn: others have theirs,
// however long the partition's queue is, and whatever the clock says.
func TestTurnsAreBounded(t *testing.T) {
	for _, keys := range []int{1, 7, 1000} {
		inBubble(t, func(t *testing.T) {
			var handled []int32
			sub := &Subscription{Name: "s", Concurrency: 1, Handle: func(_ context.Context, a *Attempt) error {
				handled = append(handled, a.Records[0].Partition)
				return nil
			}}
			s := newScript(t, options{subs: []*Subscription{sub}})
			var batches []transport.Batch
			for i := range int32(3) {
				p := transport.Partition{Topic: "t", Partition: i}
				s.assignPartition(p, 0, "")
				names := many(1000)
				for n := range names {
					names[n] = fmt.Sprint(n % keys)
				}
				b := s.batch(p, 0, names...)
				b.Epoch = uint64(i + 1)
				batches = append(batches, b)
			}
			sub.Hold(true) // until all is there
			s.deliver(batches...)
			sub.Hold(false)
			synctest.Wait()
			if len(handled) != 3000 {
				t.Fatalf("%d of 3000 handled", len(handled))
			}
			stay := 0
			for i, p := range handled[:2000] {
				if stay++; i > 0 && p != handled[i-1] {
					stay = 1
				}
				if stay > turnAttempts/2+1 { // at least the two others share it
					t.Fatalf("%d of partition %d in a row, with %d keys", stay, p, keys)
				}
			}
			s.drain()
		})
	}
}

// Within a turn, keys take turns too: one with a long queue waits behind the others.
func TestKeysTakeTurns(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(1)}})
		s.assign(0, "")
		s.fetch(0, "a", "a", "a", "b", "c")
		for _, o := range []int64{0, 3, 4, 1, 2} {
			wantRunning(t, c, o)
			c.end(t, o, nil)
		}
		s.drain()
	})
}

// A worker continues with a partition only if the consumer was alive recently, and never
// with a subscription that an operator has paused or whose concurrency was lowered.
func TestHoldEndsATurn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		sub := c.subscription(1)
		s := newScript(t, options{subs: []*Subscription{sub}})
		s.assign(0, "")
		s.fetch(0, "a", "b", "c", "d", "e")
		sub.Hold(true)
		c.end(t, 0, nil)
		wantRunning(t, c)
		sub.Hold(false)
		wantRunning(t, c, 1)
		pass(turnTime)
		s.setAlive(false)
		c.end(t, 1, nil)
		wantRunning(t, c)
		s.setAlive(true)
		pass(suspended)
		wantRunning(t, c, 2)
		gone := make(chan struct{})
		go func() { s.drain(); close(gone) }()
		c.end(t, 2, nil)
		wantRunning(t, c)
		<-gone
	})
}

// A lane finds a free worker at once: one that was woken for another lane does
// not count.
func TestEveryLaneFindsAWorker(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(40)}})
		s.assign(0, "")
		var all []transport.Batch
		for i := range int64(40) {
			all = append(all, s.batch(p0, i, fmt.Sprint(i)))
		}
		s.deliver(all[:4]...)
		for o := range int64(4) {
			c.end(t, o, nil) // now there are idle ones
		}
		s.deliver(all[4:]...)
		if n := len(c.list()); n != 36 {
			t.Errorf("%d of 36 run", n)
		}
		for len(c.list()) > 0 {
			c.end(t, c.list()[0], nil)
		}
		s.drain()
	})
}

// The age of a partition's oldest record does not include the quiet time before it.
func TestAgeStartsWithTheFirstRecord(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(1)}})
		s.assign(0, "")
		pass(time.Hour)
		s.fetch(0, "a")
		pass(time.Minute)
		if age := s.engine.Snapshot().Partitions[0].OldestAge; age != time.Minute {
			t.Errorf("age %v", age)
		}
		c.end(t, 0, nil)
		s.drain()
	})
}

// 20,000 records of 1,000 keys, handled 256 at a time in 5 ms each, take no longer than
// the number of rounds requires.
func TestWorkersAreKeptBusy(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sub := &Subscription{Name: "s", Concurrency: 256, Handle: func(context.Context, *Attempt) error {
			time.Sleep(5 * time.Millisecond)
			return nil
		}}
		s := newScript(t, options{subs: []*Subscription{sub}})
		s.assign(0, "")
		start := time.Now()
		for i := range int64(20) {
			s.deliver(s.batch(p0, 1000*i, many(1000)...))
		}
		for s.engine.Snapshot().Records > 0 {
			pass(time.Millisecond)
		}
		if took, ideal := time.Since(start), (20_000+255)/256*5*time.Millisecond; took > ideal+5*time.Millisecond {
			t.Errorf("took %v, ideal %v", took, ideal)
		}
		s.drain()
		wantCommit(t, s, 20_000)
	})
}
