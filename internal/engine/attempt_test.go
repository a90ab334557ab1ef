package engine

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
)

func TestAttemptContextEndsByItsTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newAttemptContext(context.Background(), time.Now(), time.Minute)
		if deadline, ok := c.Deadline(); !ok || time.Until(deadline) != time.Minute {
			t.Errorf("deadline %v, %v", deadline, ok)
		}
		if c.Err() != nil {
			t.Errorf("ended at once: %v", c.Err())
		}
		start := time.Now()
		<-c.Done()
		if took := time.Since(start); took != time.Minute {
			t.Errorf("ended after %v", took)
		}
		if c.Err() != context.DeadlineExceeded || context.Cause(c) != context.DeadlineExceeded {
			t.Errorf("ended with %v, cause %v", c.Err(), context.Cause(c))
		}
	})
}

// Err reports the deadline even if Done was never called.
func TestAttemptContextWithoutDone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newAttemptContext(context.Background(), time.Now(), time.Minute)
		time.Sleep(time.Minute)
		if c.Err() != context.DeadlineExceeded {
			t.Errorf("%v", c.Err())
		}
		if c.timer != nil {
			t.Error("it has a timer that nobody needs")
		}
		<-c.Done()
		c.cutOff()
		if c.Err() != context.DeadlineExceeded || c.wasCutOff() {
			t.Errorf("a drain changed it: %v", c.Err())
		}
	})
}

func TestAttemptContextIsCutOff(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newAttemptContext(context.Background(), time.Now(), time.Minute)
		done := c.Done()
		c.cutOff()
		<-done
		if c.Err() != context.Canceled || !c.wasCutOff() {
			t.Errorf("%v, cut off: %v", c.Err(), c.wasCutOff())
		}
		c.finish()
		if !c.wasCutOff() {
			t.Error("its end made it forget")
		}
		time.Sleep(time.Hour)
		if c.Err() != context.Canceled {
			t.Errorf("the deadline changed it: %v", c.Err())
		}
	})
}

func TestAttemptContextOfAnEndedAttempt(t *testing.T) {
	c := newAttemptContext(context.Background(), time.Now(), 0)
	if _, ok := c.Deadline(); ok {
		t.Error("it has a deadline")
	}
	c.finish()
	c.cutOff()
	<-c.Done()
	if c.Err() != context.Canceled || c.wasCutOff() || c.timer != nil {
		t.Errorf("%v, cut off: %v", c.Err(), c.wasCutOff())
	}
}

type valueKey struct{}

// Contexts derived from it end with it, cost no goroutine, and leave nothing
// behind when they end first.
func TestContextsDerivedFromAnAttempts(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newAttemptContext(context.WithValue(context.Background(), valueKey{}, "v"), time.Now(), time.Minute)
		goroutines := runtime.NumGoroutine()
		child, cancel := context.WithCancel(c)
		grandchild, cancelGrandchild := context.WithTimeout(context.WithValue(child, valueKey{}, "w"), time.Hour)
		other, cancelOther := context.WithCancelCause(c)
		ran := make(chan struct{})
		stop := context.AfterFunc(c, func() { close(ran) })
		never := context.AfterFunc(c, func() { t.Error("ran though it was stopped") })
		synctest.Wait()
		if n := runtime.NumGoroutine(); n > goroutines { // fewer if one of another test was still ending
			t.Errorf("%d goroutines more", n-goroutines)
		}
		if c.Value(valueKey{}) != "v" || grandchild.Value(valueKey{}) != "w" {
			t.Error("values are lost")
		}
		if deadline, _ := grandchild.Deadline(); time.Until(deadline) != time.Minute {
			t.Errorf("the grandchild's deadline is %v away", time.Until(deadline))
		}
		if !never() {
			t.Error("could not be stopped")
		}
		reason := errors.New("reason")
		cancelOther(reason)
		if context.Cause(other) != reason || c.Err() != nil {
			t.Errorf("%v, parent %v", context.Cause(other), c.Err())
		}
		c.mu.Lock()
		waiting := len(c.after)
		c.mu.Unlock()
		if waiting != 2 {
			t.Errorf("%d functions wait, want the child's and the one that runs after", waiting)
		}
		start := time.Now()
		<-grandchild.Done()
		if took := time.Since(start); took != time.Minute || grandchild.Err() != context.DeadlineExceeded {
			t.Errorf("ended after %v with %v", took, grandchild.Err())
		}
		<-ran
		if stop() {
			t.Error("stopped after it ran")
		}
		late, cancelLate := context.WithCancel(c)
		<-late.Done()
		again := make(chan struct{})
		context.AfterFunc(c, func() { close(again) })
		<-again
		cancel()
		cancelGrandchild()
		cancelLate()
	})
}

// The end of an attempt ends what was derived from its context.
func TestDerivedContextsEndWithTheAttempt(t *testing.T) {
	c := newAttemptContext(context.Background(), time.Now(), time.Hour)
	child, cancel := context.WithCancel(c)
	defer cancel()
	c.finish()
	if child.Err() != context.Canceled || context.Cause(child) != context.Canceled {
		t.Errorf("%v", child.Err())
	}
}

// An attempt is reported to the breaker once, by the first to do so.
func TestAttemptReportsOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := resilience.NewBreaker("b", resilience.BreakerConfig{MinKeys: 2, Probes: 1, After: -1, OpenFor: time.Second})
		fail := func(key uint64) {
			for range 2 {
				ticket, _ := b.Allow(key)
				ticket.Done(resilience.Failure)
			}
		}
		fail(1)
		fail(2)
		time.Sleep(time.Second + 1)
		probe := newAttemptContext(context.Background(), time.Now(), 0)
		ticket, ok := b.Allow(1)
		if !ok {
			t.Fatal("no probe")
		}
		probe.admit(ticket)
		probe.cutOff()
		probe.report(resilience.Failure)
		if b.State() != resilience.HalfOpen {
			t.Errorf("the breaker is %v", b.State())
		}
		// An attempt that was cut off before it had its ticket gives it back.
		early := newAttemptContext(context.Background(), time.Now(), 0)
		early.cutOff()
		if ticket, ok = b.Allow(2); !ok {
			t.Fatal("the first probe's place is still taken")
		}
		early.admit(ticket)
		if ticket, ok = b.Allow(3); !ok {
			t.Fatal("the second probe's place is still taken")
		}
		ticket.Done(resilience.Success)
		if b.State() != resilience.Closed {
			t.Errorf("the breaker is %v", b.State())
		}
	})
}

func newAttemptContext(values context.Context, now time.Time, timeout time.Duration) *attemptContext {
	c := new(attemptContext)
	c.set(values, now, timeout)
	return c
}
