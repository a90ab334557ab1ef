package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// batches records the offsets of each attempt, as "0 1 2".
type batches struct {
	mu   sync.Mutex
	seen []string
	errs func(offsets string) error
}

func (b *batches) handle(_ context.Context, a *Attempt) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var offsets []string
	for _, r := range a.Records {
		offsets = append(offsets, fmt.Sprint(r.Offset))
	}
	b.seen = append(b.seen, strings.Join(offsets, " "))
	if b.errs == nil {
		return nil
	}
	return b.errs(b.seen[len(b.seen)-1])
}

func (b *batches) want(t *testing.T, want ...string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if fmt.Sprint(b.seen) != fmt.Sprint(want) {
		t.Errorf("attempts %q, want %q", b.seen, want)
	}
}

func (b *batches) subscription(size int) *Subscription {
	return &Subscription{Name: "s", Concurrency: 1, BatchSize: size, Handle: b.handle, Retry: resilience.Retry{Attempts: 2}}
}

func TestBatches(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		keys string
		size int
		errs func(string) error
		want []string
		dead int
	}{
		{"whole keys, up to the size", "a a b b c c", 4, nil, []string{"0 1 2 3", "4 5"}, 0},
		{"a key longer than a batch", "a a a a a", 2, nil, []string{"0 1", "2 3", "4"}, 0},
		{
			"the marked one is tried again alone, and what is behind it is done",
			"a a a b c", 9,
			func(o string) error {
				if o == "0 1 2 3 4" {
					return someFailed{1: broken}
				}
				return nil
			},
			[]string{"0 1 2 3 4", "1"}, 0,
		},
		{
			"a permanent mark is final",
			"a a a b c", 9,
			func(o string) error {
				if o == "0 1 2 3 4" {
					return someFailed{1: errPermanent, 2: broken, 3: errPermanent}
				}
				return nil
			},
			[]string{"0 1 2 3 4", "2"}, 2,
		},
		{
			"any other error fails all of it",
			"a a b", 9,
			func(o string) error {
				if o == "0 1 2" {
					return broken
				}
				return nil
			},
			[]string{"0 1 2", "0", "2", "1"}, 0,
		},
		{
			"a record that keeps retryState dies alone",
			"a a b", 9,
			func(o string) error {
				if strings.Contains(o, "0") {
					return broken
				}
				return nil
			},
			[]string{"0 1 2", "0", "2", "0", "1"}, 1,
		},
		{
			"an error that marks the one record of a batch",
			"a", 9,
			func(string) error { return someFailed{0: errPermanent} },
			[]string{"0"}, 1,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				b := &batches{errs: c.errs}
				var box letterBox
				s := newScript(t, options{subs: []*Subscription{b.subscription(c.size)}, deadLetter: box.write})
				s.assign(0, "")
				keys := strings.Fields(c.keys)
				s.fetch(0, keys...)
				pass(time.Minute)
				b.want(t, c.want...)
				if len(box.letters) != c.dead {
					t.Errorf("%d dead letters", len(box.letters))
				}
				s.drain()
				wantCommit(t, s, int64(len(keys)))
			})
		})
	}
}

// A batch ends before a record of another subscription in the same lane, and the next one
// begins after it.
func TestBatchEndsAtAnotherSubscriptionsRecord(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := new(batches)
		batch := b.subscription(9)
		c := newCalls()
		tombstones := c.subscription(1)
		tombstones.Name = "tombstones"
		s := newScript(t, options{subs: []*Subscription{batch, tombstones}, route: func(r *transport.Record) Route {
			if r.Value == nil {
				return Route{Subscription: tombstones}
			}
			return Route{Subscription: batch}
		}})
		s.assign(0, "")
		fetched := s.batch(p0, 0, "a", "a", "a", "a", "b")
		fetched.Records[2].Value = nil
		s.deliver(fetched)
		wantRunning(t, c, 2)
		b.want(t, "0 1 4")
		c.end(t, 2, nil)
		pass(0)
		b.want(t, "0 1 4", "3")
		s.drain()
		wantCommit(t, s, 5)
	})
}

// Keys of a batch are held: nobody handles one of them meanwhile. They continue together, and
// no worker begins a batch with only some of them. That would happen by chance, hence the
// rounds.
func TestBatchHoldsItsKeys(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCalls()
		sub := c.subscription(4)
		sub.BatchSize = 3
		s := newScript(t, options{subs: []*Subscription{sub}})
		s.assign(0, "")
		const records = 6 * 100
		for at := int64(0); at < records; at += 6 {
			s.fetch(at, "a", "b", "c")
			wantRunning(t, c, at)
			s.fetch(at+3, "b", "c", "d")
			wantRunning(t, c, at, at+5)
			c.end(t, at, nil)
			wantRunning(t, c, at+3, at+5)
			c.end(t, at+3, nil)
			c.end(t, at+5, nil)
		}
		s.drain()
		wantCommit(t, s, records)
	})
}

// A handler that asks for time is not called again before that, for a whole batch or for the
// events that it marks. A time beyond the policy applies only to the attempt.
func TestRetryAfterOfABatch(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want []string // when and what, after the batch
	}{
		{"of all", retryAfter(time.Minute), []string{"1m0s: 0", "1m0s: 1", "1m0s: 2"}},
		{"of the marked one", someFailed{1: retryAfter(time.Minute)}, []string{"1m0s: 1"}},
		{"of one of two", someFailed{0: errors.New("broken"), 1: retryAfter(time.Minute)}, []string{"0s: 0", "1m0s: 1"}},
		{"of the one behind", someFailed{0: retryAfter(time.Minute), 1: errors.New("broken")}, []string{"1m0s: 0", "1m0s: 1"}},
		{"beyond the policy", retryAfter(time.Hour), []string{"0s: 0", "0s: 1", "0s: 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				start := time.Now()
				var after []string
				b := new(batches)
				b.errs = func(offsets string) error { // called with b's lock
					if offsets == "0 1 2" {
						return c.err
					}
					after = append(after, fmt.Sprintf("%v: %s", time.Since(start), offsets))
					return nil
				}
				s := newScript(t, options{subs: []*Subscription{b.subscription(9)}})
				s.assign(0, "")
				s.fetch(0, "a", "a", "b")
				pass(2 * time.Minute)
				slices.Sort(after) // between keys there is no order
				if !slices.Equal(after, c.want) {
					t.Errorf("%q, want %q", after, c.want)
				}
				s.drain()
				wantCommit(t, s, 3)
			})
		})
	}
}

// An operator can end that wait like any other.
func TestUnparkAfterABatch(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := &batches{errs: func(offsets string) error {
			if offsets == "0 1" {
				return retryAfter(time.Minute)
			}
			return nil
		}}
		s := newScript(t, options{subs: []*Subscription{b.subscription(9)}})
		s.assign(0, "")
		s.fetch(0, "a", "b")
		pass(time.Second)
		if err := s.engine.Unpark(p0, []byte("b")); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		b.want(t, "0 1", "1")
		s.drain()
	})
}
