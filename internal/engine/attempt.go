package engine

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Why an attempt's context ended, beside context.DeadlineExceeded for its own
// Timeout. context.Cause can't carry it through a context of one's own, so Err
// returns these, and they are context.Canceled to errors.Is.
var (
	errDrained  error = canceled("the drain deadline has passed")
	errFinished error = canceled("the attempt has ended")
)

type canceled string

func (c canceled) Error() string        { return "context canceled: " + string(c) }
func (c canceled) Is(target error) bool { return target == context.Canceled }

// attemptContext is the context of one attempt. It ends by its Timeout, at the
// drain deadline, and when the attempt has ended.
//
// Most handlers never look at Done, so the channel and the timer are made when
// one does: an attempt costs one allocation and no timer. It implements the
// AfterFunc that package context looks for in a parent, so that contexts
// derived from it cost no goroutine.
type attemptContext struct {
	values   context.Context
	deadline time.Time

	mu    sync.Mutex
	err   error
	done  chan struct{}
	timer *time.Timer
	after map[*func()]struct{}
}

func newAttemptContext(values context.Context, timeout time.Duration) *attemptContext {
	c := &attemptContext{values: values}
	if timeout > 0 {
		c.deadline = time.Now().Add(timeout)
	}
	return c
}

func (c *attemptContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

func (c *attemptContext) Value(key any) any { return c.values.Value(key) }

func (c *attemptContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		}
		c.arm()
	}
	return c.done
}

// arm starts the timer if somebody waits for the end. The caller holds mu.
func (c *attemptContext) arm() {
	if c.timer == nil && c.err == nil && !c.deadline.IsZero() {
		c.timer = time.AfterFunc(time.Until(c.deadline), func() { c.end(context.DeadlineExceeded) })
	}
}

func (c *attemptContext) Err() error {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err == nil && !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		c.end(context.DeadlineExceeded)
		return context.DeadlineExceeded
	}
	return err
}

// AfterFunc makes context.WithCancel and its kin on this context cheap.
func (c *attemptContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		go f()
		return func() bool { return false }
	}
	defer c.mu.Unlock()
	if c.after == nil {
		c.after = make(map[*func()]struct{})
	}
	c.after[&f] = struct{}{}
	c.arm()
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, waiting := c.after[&f]
		delete(c.after, &f)
		return waiting
	}
}

// end ends the context once; later calls do nothing.
func (c *attemptContext) end(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	if c.done != nil {
		close(c.done)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	after := c.after
	c.after = nil
	c.mu.Unlock()
	for f := range after {
		(*f)()
	}
}

// finish is the end of the attempt itself.
func (c *attemptContext) finish() { c.end(errFinished) }

// cutOff tells whether the attempt was ended from outside, by a drain.
func (c *attemptContext) cutOff() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Is(c.err, errDrained)
}
