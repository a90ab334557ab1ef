package engine

import (
	"context"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
)

// attemptContext is the context of one attempt. It ends at its Timeout, at the drain deadline, and
// when the attempt ends.
//
// Most handlers never use Done, so its channel and the timer are made on demand: an attempt costs
// no timer, and no allocation of its own. It implements the AfterFunc that package context looks
// for in a parent, so that contexts derived from it cost no goroutine.
//
// mu guards the fields below it. err is set once and never reset.
type attemptContext struct {
	values   context.Context
	deadline time.Time

	mu     sync.Mutex
	err    error
	cut    time.Time // when a drain ended it; zero if none did
	done   chan struct{}
	timer  *time.Timer
	after  map[*func()]struct{}
	ticket resilience.Ticket
	ticked ticketState
}

// ticketState is the state of an attempt's breaker ticket. A ticket may come after the attempt was
// cut off, so ticketDone can come first.
type ticketState int8

const (
	ticketNone ticketState = iota
	ticketHeld
	ticketDone // or no longer wanted
)

// attemptContexts are contexts for future attempts. Making several at once costs less. None is
// reused, since a handler's goroutine may keep one, which also keeps the others of its allocation.
// The zero value is ready to use.
type attemptContexts []attemptContext

// contextsAtOnce is the number of contexts in one allocation: about 2.5 KiB.
const contextsAtOnce = 16

// next returns the context of an attempt that begins now. With a timeout of zero there is no
// deadline: the context ends with the attempt, or with a drain.
func (room *attemptContexts) next(values context.Context, now time.Time, timeout time.Duration) *attemptContext {
	if len(*room) == 0 {
		*room = make(attemptContexts, contextsAtOnce)
	}
	c := &(*room)[0]
	*room = (*room)[1:]
	c.values = values
	if timeout > 0 {
		c.deadline = now.Add(timeout)
	}
	return c
}

// Deadline returns when the attempt's timeout ends. A drain may end it earlier, which can't be
// known in advance.
func (c *attemptContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

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
	if c.timer == nil && c.err == nil && !c.deadline.IsZero() {
		c.timer = time.AfterFunc(time.Until(c.deadline), func() { _ = c.end(context.DeadlineExceeded) })
	}
}

// Err checks the clock itself, because there may be no timer.
func (c *attemptContext) Err() error {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err == nil && !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		return c.end(context.DeadlineExceeded)
	}
	return err
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
	c.mu.Lock()
	// A drain may have cut the attempt off between begin and here.
	unwanted := c.ticked == ticketDone
	if !unwanted {
		c.ticket, c.ticked = t, ticketHeld
	}
	c.mu.Unlock()
	if unwanted {
		t.Done(resilience.Ignored)
	}
}

// report tells the breaker the attempt's outcome; only the first call counts. A handler that never
// returns must not keep a probe's place.
func (c *attemptContext) report(o resilience.Outcome) {
	c.mu.Lock()
	t, held := c.ticket, c.ticked == ticketHeld
	c.ticked = ticketDone
	c.mu.Unlock()
	if held {
		t.Done(o)
	}
}

// ignored reports whether the handler is still running although its context ended a while ago.
func (c *attemptContext) ignored(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Without a timeout and a drain there is no end to ignore.
	ended := c.deadline
	if !c.cut.IsZero() {
		ended = c.cut
	}
	return !ended.IsZero() && now.Sub(ended) > stuckAfter
}

// stuckAfter is how long after the end of its context a handler may take to return before its place
// is given to another.
const stuckAfter = time.Second
