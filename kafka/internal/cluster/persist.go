package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// Controller returns the broker to send changes of topics to. With KRaft any broker
// passes them on, and names itself the controller.
func (c *Client) Controller(ctx context.Context) (int32, error) {
	if err := c.Refresh(ctx); err != nil {
		return -1, err
	}
	c.metadata.mu.Lock()
	defer c.metadata.mu.Unlock()
	return c.metadata.controller, nil
}

// Persist repeats do while its error is retriable, for RequestTimeout or until ctx
// ends. It returns the last error. One that only a change of the configuration can
// mend is returned at once.
func (c *Client) Persist(ctx context.Context, do func() error) error {
	begun, wait := time.Now(), time.Duration(0)
	for {
		err := do()
		// The time is looked at after a try, so that do runs at least once.
		if err == nil || !kerr.Retriable(err) || kerr.Misconfigured(err) || time.Since(begun) > c.Options.RequestTimeout {
			return err
		}
		if ctx.Err() == nil {
			wait = min(2*wait, time.Second)
			if wait == 0 {
				wait = firstWait(err)
			}
			Pause(ctx, wait)
		}
		if ctx.Err() != nil {
			if errors.Is(err, ctx.Err()) {
				return err
			}
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// firstWait returns the wait after the first failure.
func firstWait(err error) time.Duration {
	// The coordinator is still writing the markers of the transaction before, which is a
	// matter of milliseconds.
	if errors.Is(err, kerr.ConcurrentTransactions) {
		return 2 * time.Millisecond
	}
	return 20 * time.Millisecond
}

// Backoff returns the wait after a number of failures in a row. It doubles from 25
// ms to 1 s.
func Backoff(failures int) time.Duration {
	return min(25*time.Millisecond<<min(failures, 10), time.Second)
}
