package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
)

// attemptContext is the context of one attempt. It ends at its Timeout, at the drain deadline, and
// when the attempt ends.
//
// Most handlers never use Done, so its channel and the timer are made on demand: an attempt
// costs no timer, and no allocation of its own. It implements the AfterFunc that package context
// looks for in a parent, so that contexts derived from it cost no goroutine.
type attemptContext struct {
	// These fields are set before the attempt begins and not changed afterwards.
	values  context.Context
	started time.Time
	timeout time.Duration // zero for none

	// ticket belongs to the worker until ticked is ticketHeld, and then to the goroutine that
	// changes ticked to ticketDone.
	ticket resilience.Ticket
	ticked atomic.Int32

	// mu guards the fields below. err is set once and never reset.
	mu    sync.Mutex
	err   error
	cut   time.Time // when a drain ended it; zero if none did
	done  chan struct{}
	timer *time.Timer
	after map[*func()]struct{}
}

// The states of an attempt's breaker ticket. A ticket may come after the attempt was cut off, so
// ticketDone can come first.
const (
	ticketNone int32 = iota
	ticketHeld
	ticketDone // or no longer wanted
)

// set makes a new c the context of an attempt that begins now. With a timeout of zero there is
// no deadline: the context ends with the attempt, or with a drain.
func (c *attemptContext) set(values context.Context, now time.Time, timeout time.Duration) {
	c.values, c.started, c.timeout = values, now, max(timeout, 0)
}

// Deadline returns when the attempt's timeout ends. A drain may end it earlier, which can't be
// known in advance.
func (c *attemptContext) Deadline() (deadline time.Time, ok bool) {
	if c.timeout == 0 {
		return time.Time{}, false
	}
	return c.started.Add(c.timeout), true
}

// Value returns a value of the engine's base context. Traces and loggers get into an attempt by
// middleware, not here.
func (c *attemptContext) Value(key any) any { return c.values.Value(key) }

// Done makes the channel, and the timer that closes it, on the first call.
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

// arm starts the timer. The caller holds mu, and waits for the end.
func (c *attemptContext) arm() {
	if deadline, ok := c.Deadline(); ok && c.timer == nil && c.err == nil {
		c.timer = time.AfterFunc(time.Until(deadline), func() { _ = c.end(context.DeadlineExceeded) })
	}
}

// Err checks the clock itself, because there may be no timer.
func (c *attemptContext) Err() error {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if deadline, ok := c.Deadline(); ok && !time.Now().Before(deadline) {
		return c.end(context.DeadlineExceeded)
	}
	return nil
}

// AfterFunc makes context.WithCancel and similar functions cheap on this context. f is called
// on the goroutine that ends the context; package context passes functions that do not block.
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
	// Keyed by the address of this call's f: functions can't be compared.
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

// end ends the context; later calls do nothing. It returns the error that Err returns.
func (c *attemptContext) end(err error) error {
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return c.err
	}
	c.err = err
	if c.done != nil {
		close(c.done)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	// Call them without mu: they may call Err.
	after := c.after
	c.after = nil
	c.mu.Unlock()
	for f := range after {
		(*f)()
	}
	return err
}

// finish ends the context because the attempt has ended.
func (c *attemptContext) finish() { _ = c.end(context.Canceled) }

// cutOff ends the attempt from outside, for a drain. Its outcome no longer counts, not even for the
// breaker.
func (c *attemptContext) cutOff() {
	c.mu.Lock()
	// An attempt that had already ended was not cut off: its outcome counts.
	if c.err == nil {
		c.cut = time.Now()
	}
	c.mu.Unlock()
	_ = c.end(context.Canceled)
	c.report(resilience.Ignored)
}

// wasCutOff reports whether a drain ended the attempt, rather than its own end or its Timeout.
func (c *attemptContext) wasCutOff() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.cut.IsZero()
}

// admit gives the breaker's ticket to the attempt.
func (c *attemptContext) admit(t resilience.Ticket) {
	c.ticket = t
	// A drain may have cut the attempt off between begin and here.
	if !c.ticked.CompareAndSwap(ticketNone, ticketHeld) {
		t.Done(resilience.Ignored)
	}
}

// report tells the breaker the attempt's outcome; only the first call counts. A handler that never
// returns must not keep a probe's place.
func (c *attemptContext) report(o resilience.Outcome) {
	if c.ticked.Swap(ticketDone) == ticketHeld {
		c.ticket.Done(o)
	}
}

// ignored reports whether the handler is still running although its context ended a while ago.
func (c *attemptContext) ignored(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Without a timeout and a drain there is no end to ignore.
	ended, _ := c.Deadline()
	if !c.cut.IsZero() {
		ended = c.cut
	}
	return !ended.IsZero() && now.Sub(ended) > stuckAfter
}

// stuckAfter is how long after the end of its context a handler may take to return before its place
// is given to another.
const stuckAfter = time.Second
