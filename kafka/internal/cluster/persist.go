package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// Controller returns the broker to which changes of topics are sent. With KRaft any broker
// forwards them, and reports itself as the controller.
func (c *Client) Controller(ctx context.Context) (int32, error) {
	if err := c.Refresh(ctx); err != nil {
		return -1, err
	}
	c.metadata.mu.Lock()
	defer c.metadata.mu.Unlock()
	return c.metadata.controller, nil
}

// Persist repeats do while its error is retriable, for RequestTimeout or until ctx ends, and
// returns the last error. It returns at once an error that only a changed configuration can
// fix.
func (c *Client) Persist(ctx context.Context, do func() error) error {
	begun, wait := time.Now(), time.Duration(0)
	for {
		err := do()
		// Check the time after a try, so that do runs at least once.
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
	// The coordinator is still writing the markers of the previous transaction, which takes
	// milliseconds.
	if errors.Is(err, kerr.ConcurrentTransactions) {
		return 2 * time.Millisecond
	}
	return 20 * time.Millisecond
}

// Backoff returns how long to wait after a number of failures in a row: 25 ms, doubled for
// each, at most 1 s.
func Backoff(failures int) time.Duration {
	return min(25*time.Millisecond<<min(failures, 10), time.Second)
}
