package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// A RetryAfter beyond the policy makes a dead letter at once, whose error says why and
// what to change; the engine waits for one within it.
func TestRetryAfterBeyondThePolicy(t *testing.T) {
	for _, c := range []struct {
		name     string
		retry    resilience.Retry
		after    time.Duration
		attempts int
	}{
		{"beyond the default", resilience.Retry{}, time.Hour, 1},
		{"beyond a short one", resilience.Retry{Elapsed: time.Minute}, 61 * time.Second, 1},
		{"no policy", resilience.NoRetry(), time.Second, 1},
		{"within it once", resilience.Retry{}, 3 * time.Minute, 2},
		{"to its very end", resilience.Retry{}, 5 * time.Minute, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				sub := &Subscription{Name: "s", Retry: c.retry, Handle: func(context.Context, *Attempt) error { return retryAfter(c.after) }}
				var box letterBox
				s := newScript(t, options{subs: []*Subscription{sub}, deadLetter: box.write})
				s.assign(0, "")
				s.fetch(0, "a")
				pass(6 * time.Minute)
				if len(box.letters) != 1 {
					t.Fatalf("%d dead letters", len(box.letters))
				}
				f := box.letters[0]
				if f.Attempts != c.attempts || f.Reason != reasonExhausted || !errors.As(f.Err, new(retryAfter)) {
					t.Errorf("%d attempts, %s: %v", f.Attempts, f.Reason, f.Err)
				}
				if c.attempts == 1 && c.retry.Attempts == 0 && !strings.Contains(f.Err.Error(), "set a longer Elapsed") {
					t.Errorf("no remedy in %q", f.Err)
				}
				s.drain()
			})
		})
	}
}

// A service with few keys, which no breaker protects, survives a dependency that is down
// for a minute, with all defaults and without a dead letter.
func TestQuietServiceOutlivesAnOutage(t *testing.T) {
	for _, keys := range []int{1, 2, 9} {
		inBubble(t, func(t *testing.T) {
			var down atomic.Bool
			var box letterBox
			sub := &Subscription{
				Name: "s", Concurrency: 64, Timeout: 30 * time.Second, Breaker: resilience.NewBreaker("b", resilience.BreakerConfig{}),
				Handle: func(context.Context, *Attempt) error {
					if down.Load() {
						return errDown
					}
					return nil
				},
			}
			s := newScript(t, options{subs: []*Subscription{sub}, deadLetter: box.write})
			s.assign(0, "")
			down.Store(true)
			for i := range 3 {
				s.fetch(int64(i*keys), many(keys)...)
			}
			pass(time.Minute)
			down.Store(false)
			pass(30 * time.Second) // the longest wait
			s.drain()
			wantCommit(t, s, int64(3*keys))
			if len(box.letters) != 0 {
				t.Errorf("%d keys: %d dead letters", keys, len(box.letters))
			}
		})
	}
}

// A dead letter that was decided on is written by the next owner, and the handler is
// not called again, over as many owners as it takes.
func TestDecisionTravels(t *testing.T) {
	for name, c := range map[string]struct {
		retry  resilience.Retry
		err    error
		reason string
	}{
		"exhausted": {resilience.NoRetry(), errDown, "exhausted"},
		"permanent": {resilience.Retry{}, errPermanent, "permanent"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				var calls atomic.Int64
				var works atomic.Bool
				var letter *Failure
				metadata := ""
				for owner := range 6 {
					works.Store(owner == 5)
					s := newScript(t, options{
						subs: []*Subscription{{Name: "s", Retry: c.retry, Handle: func(_ context.Context, a *Attempt) error {
							if a.Records[0].Offset == 0 {
								calls.Add(1)
								return c.err
							}
							return nil
						}}},
						deadLetter: func(_ context.Context, f *Failure, done func(error)) {
							if !works.Load() {
								done(errors.New("no leader"))
								return
							}
							letter = f
							done(nil)
						},
					})
					s.assign(0, metadata)
					s.fetch(0, "a", "b")
					pass(5 * time.Second)
					s.drain()
					if owner < 5 {
						metadata = wantCommit(t, s, 0).Metadata
					} else {
						wantCommit(t, s, 2)
					}
				}
				if n := calls.Load(); n != 1 {
					t.Errorf("the handler was called %d times", n)
				}
				if letter == nil || letter.Reason != c.reason || letter.Attempts != 1 || letter.Err == nil {
					t.Errorf("letter %+v", letter)
				}
			})
		})
	}
}

// Time in which no member owns the partition spends nothing of the retry policy, and
// time in which one does is used up.
func TestDownTimeSpendsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var calls atomic.Int64
		var letters atomic.Int64
		metadata := ""
		var owned time.Duration
		for owners := 0; letters.Load() == 0; owners++ {
			sub := &Subscription{Name: "s", Handle: func(context.Context, *Attempt) error { calls.Add(1); return errDown }}
			s := newScript(t, options{subs: []*Subscription{sub}, deadLetter: func(_ context.Context, _ *Failure, done func(error)) {
				letters.Add(1)
				done(nil)
			}})
			s.assign(0, metadata)
			s.fetch(0, "a")
			start := time.Now()
			for letters.Load() == 0 && time.Since(start) < 45*time.Second {
				pass(time.Second)
			}
			owned += time.Since(start)
			s.drain()
			metadata = s.lastCommit().Metadata
			time.Sleep(time.Hour)
			if owners > 20 {
				t.Fatal("it never ends")
			}
		}
		// Each owner rounds down by at most a second.
		if owned < 5*time.Minute || owned > 5*time.Minute+10*time.Second {
			t.Errorf("dead-lettered after %v with an owner, %d attempts", owned, calls.Load())
		}
	})
}

// Decisions and attempts of a record behind another of its key are handed over too: a
// batch may mark several of one key, and only the first is its lane's head.
func TestDecisionBehindTheHeadTravels(t *testing.T) {
	// A waiting head uses up nothing, so to the next owner it is like new.
	for name, head := range map[string]error{"failed": errDown, "waits": errWait, "runs": errCutOff} {
		t.Run(name, func(t *testing.T) { inBubble(t, func(t *testing.T) { decisionBehind(t, head) }) })
	}
}

// errCutOff is the error of attempts that a drain ends.
var errCutOff = fmt.Errorf("cut off: %w", errWait)

func decisionBehind(t *testing.T, head error) {
	calls := make(map[int64]int) // by offset, of attempts that failed
	works := false
	var letters []*Failure
	metadata := ""
	const owners = 6
	for owner := range owners {
		works = owner == owners-1
		b := &batches{errs: func(offsets string) error {
			switch {
			case works && strings.HasPrefix(offsets, "0"):
				return nil
			case offsets == "0 1 2 3":
				calls[1]++
				calls[2]++
				return someFailed{0: head, 1: errPermanent, 2: errPermanent}
			}
			for offset := range int64(3) {
				if strings.Contains(offsets, fmt.Sprint(offset)) {
					calls[offset]++
				}
			}
			return head
		}}
		sub := b.subscription(9)
		if handle := sub.Handle; head == errCutOff && owner > 0 && !works {
			sub.Handle = func(ctx context.Context, a *Attempt) error {
				<-ctx.Done() // a drain ends it: the record has no history of its own
				return handle(ctx, a)
			}
		}
		sub.Retry = resilience.Unlimited()
		s := newScript(t, options{subs: []*Subscription{sub}, deadLetter: func(_ context.Context, f *Failure, done func(error)) {
			if !works {
				done(errors.New("no leader"))
				return
			}
			letters = append(letters, f)
			done(nil)
		}})
		s.assign(0, metadata)
		s.fetch(0, "a", "a", "a", "b")
		pass(time.Minute)
		s.drain()
		if works {
			wantCommit(t, s, 4)
		} else if c := s.lastCommit(); c.Offset >= 0 { // else nothing has changed
			metadata = c.Metadata
		}
	}
	if calls[1] != 1 || calls[2] != 1 || calls[0] < owners {
		t.Errorf("attempts by offset: %v, want one each at 1 and 2, whose end was decided", calls)
	}
	if len(letters) != 2 {
		t.Fatalf("%d dead letters", len(letters))
	}
	for i, f := range letters {
		if f.Record.Offset != int64(i+1) || f.Reason != "permanent" || f.Attempts != 1 {
			t.Errorf("letter %d: offset %d, %s after %d attempts", i, f.Record.Offset, f.Reason, f.Attempts)
		}
	}
}

// A record that an earlier owner tried, and that compaction removed before this one
// reached it, does not spoil commits: progress beyond the watermark is still handed
// over.
func TestBudgetOfARecordThatIsGone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		first := newScript(t, options{subs: []*Subscription{c.subscription(2)}})
		first.assign(0, "")
		first.fetch(0, "a")
		c.end(t, 0, errDown)
		first.drain()
		metadata := wantCommit(t, first, 0).Metadata
		if metadata == "" {
			t.Fatal("the attempt does not travel")
		}
		next := newScript(t, options{subs: []*Subscription{c.subscription(2)}})
		next.assign(0, metadata)
		b := next.batch(p0, 1, "b", "c")
		b.From = 0
		next.deliver(b)
		c.end(t, 2, nil)
		c.end(t, 1, errDown)
		next.drain()
		commit := wantCommit(t, next, 1)
		report, err := ReadCommit(&transport.Assignment{Partition: p0, Offset: commit.Offset, LeaderEpoch: commit.LeaderEpoch, ClusterID: "c", Metadata: commit.Metadata})
		if err != nil || report.Finished != 1 || report.Parked != 1 {
			t.Errorf("the commit reads as %+v, %v", report, err)
		}
	})
}
