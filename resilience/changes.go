package resilience

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
)

// changes calls OnChange, once per change and in order, on a goroutine that lives while there
// are changes to report. A breaker changes under its circuit's lock, while its caller handles
// an event, so a callback that blocks, panics or ends its goroutine must not do so there.
type changes struct {
	breaker string
	call    func(from, to State) // may be nil

	mu      sync.Mutex
	waiting []change
	calling bool
}

type change struct{ from, to State }

// maxChanges bounds the changes that wait for a blocking callback. Beyond it the oldest are
// merged into one.
const maxChanges = 64

// report schedules a call of the callback. It never blocks.
func (c *changes) report(from, to State) {
	if c.call == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == maxChanges {
		c.waiting[1].from = c.waiting[0].from
		c.waiting = c.waiting[1:]
	}
	c.waiting = append(c.waiting, change{from, to})
	if !c.calling {
		c.calling = true
		go c.callAll()
	}
}

// callAll calls the callback until no change is left.
func (c *changes) callAll() {
	for {
		c.mu.Lock()
		if len(c.waiting) == 0 {
			c.calling, c.waiting = false, nil
			c.mu.Unlock()
			return
		}
		next := c.waiting[0]
		c.waiting = c.waiting[1:]
		c.mu.Unlock()
		c.callOne(next)
	}
}

// callOne calls the callback once. A panic is logged with its stack. After a runtime.Goexit
// another goroutine continues.
func (c *changes) callOne(next change) {
	returned := false
	defer func() {
		switch v := recover(); {
		case v != nil:
			slog.Error("a circuit breaker's OnChange panicked", "breaker", c.breaker, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		case !returned:
			go c.callAll()
		}
	}()
	c.call(next.from, next.to)
	returned = true
}
