package produce

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// credit bounds what a producer has accepted and not completed, in bytes and in
// records. Those who find it full wait in order. It is safe for concurrent use.
//
// While nobody waits, taking and giving touch two counters and no lock.
type credit struct {
	maxBytes, maxRecords int64
	bytes, records       atomic.Int64
	waiters              atomic.Int32 // len(queue)

	mu     sync.Mutex
	queue  []*creditWaiter
	closed chan struct{}
}

type creditWaiter struct {
	bytes int64
	given chan struct{}
}

// take waits until there is room for one record of n bytes, at most maxBytes.
func (c *credit) take(ctx context.Context, n int64) error {
	if c.waiters.Load() == 0 && c.try(n) {
		return nil
	}
	w := &creditWaiter{bytes: n, given: make(chan struct{})}
	c.mu.Lock()
	c.queue = append(c.queue, w)
	c.waiters.Add(1)
	// Room that was given back before waiters was raised went unnoticed, and so
	// did room that a try of somebody else held for a moment, who comes here too.
	c.serve()
	c.mu.Unlock()
	select {
	case <-w.given:
		return nil
	case <-ctx.Done():
		return c.leave(w, ctx.Err())
	case <-c.closed:
		return c.leave(w, errProducerClosed)
	}
}

// try takes room if there is some.
func (c *credit) try(n int64) bool {
	if c.bytes.Add(n) > c.maxBytes {
		c.bytes.Add(-n)
		return false
	}
	if c.records.Add(1) > c.maxRecords {
		c.records.Add(-1)
		c.bytes.Add(-n)
		return false
	}
	return true
}

// give gives back the room of some records.
func (c *credit) give(bytes int64, records int) {
	c.records.Add(int64(-records))
	c.bytes.Add(-bytes)
	if c.waiters.Load() > 0 {
		c.mu.Lock()
		c.serve()
		c.mu.Unlock()
	}
}

// serve gives room to who waits longest, as long as there is some. The caller
// holds mu.
func (c *credit) serve() {
	for len(c.queue) > 0 && c.try(c.queue[0].bytes) {
		close(c.queue[0].given)
		c.queue = slices.Delete(c.queue, 0, 1)
		c.waiters.Add(-1)
	}
}

// leave ends the wait of w with err.
func (c *credit) leave(w *creditWaiter, err error) error {
	c.mu.Lock()
	i := slices.Index(c.queue, w)
	if i >= 0 {
		c.queue = slices.Delete(c.queue, i, i+1)
		c.waiters.Add(-1)
		c.serve() // the next in the queue may need less
	}
	c.mu.Unlock()
	if i < 0 {
		c.give(w.bytes, 1) // was given in the same moment
	}
	return err
}
