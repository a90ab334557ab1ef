// Package payments handles events with the help of a service that fails at times.
package payments

import (
	"context"
	"errors"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/readme/sales"
	"github.com/eventbus-go/eventbus/resilience"
)

// ErrRefused is a refusal that the same request always gets.
var ErrRefused = errors.New("the payment service refuses the customer")

// BusyError says when the payment service has time again.
type BusyError struct{ After time.Duration }

// Error implements error.
func (e *BusyError) Error() string { return "the payment service is busy" }

// Accounts opens accounts at the payment service.
type Accounts interface {
	Open(ctx context.Context, customerID string) error
}

// Subscription opens an account for each new customer.
func Subscription(accounts Accounts) eventbus.Subscription {
	return eventbus.On(sales.CustomerCreatedTopic, func(ctx context.Context, e sales.CustomerCreated) error {
		err := accounts.Open(ctx, e.CustomerID)
		var busy *BusyError
		switch {
		case errors.Is(err, ErrRefused):
			return eventbus.Permanent(err) // a dead letter, now
		case errors.As(err, &busy):
			return eventbus.RetryAfter(busy.After, err) // again, but not before
		}
		return err // nil: handled; anything else: by the retry policy
	},
		eventbus.Timeout(10*time.Second),
		eventbus.Retry(resilience.Retry{Attempts: 50, Elapsed: time.Hour, Max: time.Minute}),
		eventbus.SharedBreaker("payments", resilience.BreakerConfig{}))
}

// Best opens accounts as far as the payment service wants them: its options say what
// becomes of errors, so the handler returns them as they are.
func Best(accounts Accounts) eventbus.Subscription {
	return eventbus.On(sales.CustomerCreatedTopic, func(ctx context.Context, e sales.CustomerCreated) error {
		return accounts.Open(ctx, e.CustomerID)
	},
		eventbus.RetryWait(resilience.Steps(time.Second, 10*time.Second, time.Minute)),
		eventbus.OnError(func(err error) error {
			var busy *BusyError
			switch {
			case errors.Is(err, ErrRefused):
				return eventbus.Discard(err) // nobody misses it: counted, and no dead letter
			case errors.As(err, &busy):
				return eventbus.RetryAfter(busy.After, err)
			}
			return err // as it is: by the retry policy
		}))
}
