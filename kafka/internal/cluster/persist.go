package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// Led tells whether every partition has a leader.
func (t *TopicMeta) Led() bool {
	for _, p := range t.Partitions {
		if p.Leader < 0 {
			return false
		}
	}
	return true
}

// Controller is the broker that creates topics. In KRaft mode any broker passes
// the request on, and says that it is the controller.
func (c *Client) Controller(ctx context.Context) (int32, error) {
	if err := c.Refresh(ctx); err != nil {
		return -1, err
	}
	c.Metadata.Mu.Lock()
	defer c.Metadata.Mu.Unlock()
	return c.Metadata.Controller, nil
}

// Persist repeats do while its error is retriable.
func (c *Client) Persist(ctx context.Context, do func() error) error {
	begun, wait := time.Now(), 20*time.Millisecond
	for {
		err := do()
		if err == nil || !kerr.Retriable(err) || time.Since(begun) > c.Cfg.RequestTimeout {
			return err
		}
		if ctx.Err() == nil {
			Pause(ctx, wait)
			wait = min(2*wait, time.Second)
		}
		if ctx.Err() != nil {
			if errors.Is(err, ctx.Err()) {
				return err
			}
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// Backoff doubles from 25 ms to a second.
func Backoff(failures int) time.Duration {
	return min(25*time.Millisecond<<min(failures, 10), time.Second)
}
