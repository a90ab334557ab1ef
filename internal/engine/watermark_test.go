package engine

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

func sorted(offsets []int64) []int64 {
	slices.Sort(offsets)
	return offsets
}

func wantRunning(t *testing.T, c *calls, want ...int64) {
	t.Helper()
	if got := c.list(); !slices.Equal(got, want) {
		t.Fatalf("offsets %v run, want %v", got, want)
	}
}

func wantCommit(t *testing.T, s *script, want int64) transport.Commit {
	t.Helper()
	c := s.lastCommit()
	if c.Offset != want {
		t.Fatalf("committed %d, want %d", c.Offset, want)
	}
	return c
}

// pass advances the bubble's clock by d, and waits until all goroutines are blocked.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func tick() { pass(time.Second) }

// TestFinishedBeyondTheWatermarkIsNotRepeated: the metadata has what is finished
// beyond the watermark, and the next owner runs only the rest.
func TestFinishedBeyondTheWatermarkIsNotRepeated(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(8)}})
		s.assign(100, "")
		s.fetch(100, "a", "b", "c", "d", "e")
		wantRunning(t, c, 100, 101, 102, 103, 104)
		c.end(t, 101, nil)
		c.end(t, 103, nil)
		tick()
		first := wantCommit(t, s, 100)
		if first.Metadata == "" {
			t.Fatal("no metadata")
		}
		c.end(t, 100, nil)
		tick()
		second := wantCommit(t, s, 102)
		go s.revoke()
		for _, o := range []int64{102, 104} {
			c.end(t, o, nil)
		}
		wantCommit(t, s, 105)

		// Another owner that has only the first commit.
		s.assign(100, first.Metadata)
		s.fetch(100, "a", "b", "c", "d", "e")
		wantRunning(t, c, 100, 102, 104)
		for _, o := range []int64{100, 102, 104} {
			c.end(t, o, nil)
		}
		tick()
		wantCommit(t, s, 105)
		s.revoke()

		s.assign(102, second.Metadata)
		s.fetch(102, "c", "d", "e")
		wantRunning(t, c, 102, 104)
		c.end(t, 102, nil)
		c.end(t, 104, nil)
		s.drain()
	})
}

// TestInheritedProgressIsHandedOn: an owner that is revoked before it has fetched
// what the previous owner had finished passes that progress on.
func TestInheritedProgressIsHandedOn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		s := newScript(t, options{subs: []*Subscription{c.subscription(8)}})
		s.assign(0, "")
		s.fetch(0, "a", "b", "c", "d")
		c.end(t, 3, nil)
		c.end(t, 1, retryAfter(time.Hour))
		tick()
		commit := wantCommit(t, s, 0)
		c.end(t, 0, nil)
		c.end(t, 2, nil)
		s.revoke()
		s.assign(0, commit.Metadata)
		s.fetch(0, "a")
		c.end(t, 0, nil)
		s.revoke()
		commit = wantCommit(t, s, 1)
		s.assign(1, commit.Metadata)
		s.revoke() // without having fetched anything
		if again := s.lastCommit(); again.Offset != 1 || again.Metadata != commit.Metadata {
			t.Fatalf("%+v became %+v", commit, again)
		}
		s.assign(1, commit.Metadata)
		s.fetch(1, "b", "c", "d")
		wantRunning(t, c, 1, 2)
		if n := s.engine.partition(p0).budgets[1].attempts; n != 1 {
			t.Errorf("%d attempts inherited, want 1", n)
		}
		c.end(t, 1, nil)
		c.end(t, 2, nil)
		tick()
		wantCommit(t, s, 4)
		s.drain()
	})
}

// TestBudgetsSurviveHandover: attempts and the time since the first failure survive a
// handover, even of a record that is not parked when its partition is revoked.
func TestBudgetsSurviveHandover(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		var letters []*Failure
		sub := c.subscription(1)
		sub.Retry = resilience.Retry{Attempts: 3, Initial: time.Millisecond}
		s := newScript(t, options{subs: []*Subscription{sub}, deadLetter: func(_ context.Context, f *Failure, done func(error)) {
			letters = append(letters, f)
			done(nil)
		}})
		s.assign(0, "")
		s.fetch(0, "a", "b")
		first := time.Now()
		c.end(t, 0, errors.New("1"))
		wantRunning(t, c, 1)
		tick() // offset 0 is ready again, and waits for the only worker
		c.end(t, 1, nil)
		wantRunning(t, c, 0)
		go s.revoke()
		c.end(t, 0, errors.New("2")) // counts, although the partition is being revoked
		s.assign(0, s.lastCommit().Metadata)
		s.fetch(0, "a", "b")
		wantRunning(t, c, 0)
		c.end(t, 0, errors.New("3"))
		if len(letters) != 1 || letters[0].Attempts != 3 || letters[0].Reason != "exhausted" {
			t.Fatalf("letters: %+v", letters)
		}
		if d := letters[0].First.Sub(first); d < -time.Second || d > time.Second {
			t.Errorf("first failure moved by %v", d)
		}
		tick()
		wantCommit(t, s, 2)
		s.drain()
	})
}

// TestForeignProgressIsDropped: progress counts only if it is of this cluster, topic,
// leader epoch and offset. What was this library's and is dropped counts as a failed commit.
func TestForeignProgressIsDropped(t *testing.T) {
	done := &progress{cluster: "c", base: 10, epoch: -1, runs: []int64{1, 2}}
	ours, _ := done.encode(maxMetadata)
	elsewhere := *done
	elsewhere.cluster = "other"
	mirrored, _ := elsewhere.encode(maxMetadata)
	recreated := *done
	recreated.topic[3] = 1
	other, _ := recreated.encode(maxMetadata)
	epoch := *done
	epoch.epoch = 4
	unclean, _ := epoch.encode(maxMetadata)
	damaged := []byte(ours)
	damaged[len(damaged)/2] ^= 1
	for _, c := range []struct {
		name, metadata string
		offset         int64
		runs           []int64
		counted        int
	}{
		{"ours", ours, 10, []int64{10}, 0},
		{"none", "", 10, []int64{10, 11, 12}, 0},
		{"another framework's", "parallel-consumer:AAAA", 10, []int64{10, 11, 12}, 0},
		{"another cluster's", mirrored, 10, []int64{10, 11, 12}, 1},
		{"of the previous topic", other, 10, []int64{10, 11, 12}, 1},
		{"of another leader epoch", unclean, 10, []int64{10, 11, 12}, 1},
		{"the offset was reset", ours, 9, []int64{9, 10, 11}, 1},
		{"damaged", string(damaged), 10, []int64{10, 11, 12}, 1},
		{"cut short", ours[:len(ours)-3], 10, []int64{10, 11, 12}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				calls := newCalls()
				counted := new(commitFailures)
				s := newScript(t, options{subs: []*Subscription{calls.subscription(8)}, observer: counted})
				s.assign(c.offset, c.metadata)
				s.fetch(c.offset, "a", "b", "c")
				wantRunning(t, calls, c.runs...)
				for _, o := range c.runs {
					calls.end(t, o, nil)
				}
				s.drain()
				wantCommit(t, s, c.offset+3)
				if counted.n != c.counted {
					t.Errorf("counted %d times, want %d", counted.n, c.counted)
				}
			})
		})
	}
}

type commitFailures struct {
	NoObserver
	n int
}

func (c *commitFailures) CommitFailed(transport.Partition, error) { c.n++ }
