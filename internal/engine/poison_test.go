package engine

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
)

// One key in ten is poison: its many retries must not open the breaker for the
// others, and each poison record becomes a dead letter.
func TestPoisonDoesNotOpenTheBreaker(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := resilience.NewBreaker("b", resilience.BreakerConfig{})
		var box letterBox
		sub := &Subscription{
			Name: "s", Concurrency: 4, Breaker: b,
			Retry: resilience.Retry{Attempts: 20, Elapsed: time.Hour, Initial: 3 * time.Second, Max: 3 * time.Second},
			Handle: func(_ context.Context, a *Attempt) error {
				if a.Records[0].Offset%10 == 0 {
					return errors.New("poison")
				}
				return nil
			},
		}
		s := newScript(t, options{subs: []*Subscription{sub}, deadLetter: box.write})
		s.assign(0, "")
		s.fetch(0, many(200)...)
		pass(5 * time.Minute)
		if b.State() != resilience.Closed || len(box.letters) != 20 {
			t.Errorf("the breaker is %v, %d dead letters", b.State(), len(box.letters))
		}
		s.drain()
	})
}

// When only poison is left, all of it still becomes dead letters: keys that were
// given up while others worked may probe in the end, at their own expense.
func TestPoisonAloneIsBuried(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := resilience.NewBreaker("b", resilience.BreakerConfig{})
		var box letterBox
		poison := func(offset int64) bool { return offset >= 400 || offset%10 == 0 }
		sub := &Subscription{
			Name: "s", Concurrency: 4, Breaker: b,
			Retry: resilience.Retry{Attempts: 3, Elapsed: time.Hour, Initial: time.Second, Max: time.Second},
			Handle: func(_ context.Context, a *Attempt) error {
				if poison(a.Records[0].Offset) {
					return errors.New("poison")
				}
				return nil
			},
		}
		s := newScript(t, options{subs: []*Subscription{sub}, deadLetter: box.write})
		s.assign(0, "")
		keys := make([]string, 500)
		for o := range keys { // from 400 on only keys that were dead-lettered before
			keys[o] = fmt.Sprint("k", o)
			if o >= 400 {
				keys[o] = fmt.Sprint("k", o%40*10)
			}
		}
		s.fetch(0, keys[:400]...)
		pass(time.Minute)
		if len(box.letters) != 40 {
			t.Fatalf("%d dead letters beside what works, want 40", len(box.letters))
		}
		s.fetch(400, keys[400:]...)
		pass(30 * time.Minute)
		if len(box.letters) != 140 {
			t.Errorf("%d dead letters, want 140; the breaker is %v", len(box.letters), b.State())
		}
		s.drain()
	})
}
