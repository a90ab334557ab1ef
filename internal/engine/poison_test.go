package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
)

// One key in ten is poison: its retries, which are many, must not open the
// breaker before the others, and each ends as a dead letter.
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
