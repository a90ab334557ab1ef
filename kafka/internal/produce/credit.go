package produce

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// credit bounds the accepted records without an outcome, in bytes and in number. Callers that find
// it exhausted wait in order. It is safe for concurrent use.
//
// While nobody waits, acquire and release use two counters and no lock.
type credit struct {
	maxBytes, maxRecords int64
	bytes, records       atomic.Int64
	// waiters is len(queue), which callers read without mu.
	waiters atomic.Int32

	mu sync.Mutex
	// queue has the waiting callers of acquire in the order in which they are served, so that
	// small records that fit don't overtake a large one indefinitely.
	queue  []*creditWaiter
	closed chan struct{} // closed by Producer.Close: waiting callers give up
}

// creditWaiter is one waiting caller of acquire.
type creditWaiter struct {
	bytes int64
	given chan struct{} // closed once the caller has the credit
}

// acquire waits for credit for one record of n bytes, at most maxBytes. Unless it returns an error,
// the caller must call release.
func (c *credit) acquire(ctx context.Context, n int64) error {
	if c.waiters.Load() == 0 && c.tryAcquire(n) {
		return nil
	}
	w := &creditWaiter{bytes: n, given: make(chan struct{})}
	c.mu.Lock()
	c.queue = append(c.queue, w)
	c.waiters.Add(1)
	// Credit released before waiters was raised has not been offered to this caller, and neither
	// has credit that another caller's tryAcquire held for a moment. Look again.
	c.grant()
	c.mu.Unlock()
	select {
	case <-w.given:
		return nil
	case <-ctx.Done():
		return c.abandon(w, ctx.Err())
	case <-c.closed:
		return c.abandon(w, errProducerClosed)
	}
}

// tryAcquire takes credit if there is enough. It adds first and checks afterwards, so that two
// callers never both get the last of it; the counters may briefly exceed the bounds.
func (c *credit) tryAcquire(n int64) bool {
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

// release returns the credit of records.
func (c *credit) release(bytes int64, records int) {
	c.records.Add(int64(-records))
	c.bytes.Add(-bytes)
	if c.waiters.Load() > 0 {
		c.mu.Lock()
		c.grant()
		c.mu.Unlock()
	}
}

// grant gives credit to the callers that have waited longest, as long as there is enough for the
// first of them. The caller holds mu.
func (c *credit) grant() {
	for len(c.queue) > 0 && c.tryAcquire(c.queue[0].bytes) {
		close(c.queue[0].given)
		c.queue = slices.Delete(c.queue, 0, 1)
		c.waiters.Add(-1)
	}
}

// abandon ends the wait of w with err.
func (c *credit) abandon(w *creditWaiter, err error) error {
	c.mu.Lock()
	i := slices.Index(c.queue, w)
	if i >= 0 {
		c.queue = slices.Delete(c.queue, i, i+1)
		c.waiters.Add(-1)
		c.grant() // the next in the queue may need less
	}
	c.mu.Unlock()
	if i < 0 {
		c.release(w.bytes, 1) // it was granted at the same moment, and the caller does not use it
	}
	return err
}
