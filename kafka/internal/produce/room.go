package produce

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// room bounds what a producer has accepted and not settled, in bytes and in
// records. Those who find it full wait in order. It is safe for concurrent use.
//
// While nobody waits, taking and giving touch two counters and no lock.
type room struct {
	maxBytes, maxRecords int64
	bytes, records       atomic.Int64
	waiters              atomic.Int32 // len(queue)

	mu     sync.Mutex
	queue  []*roomWaiter
	closed chan struct{}
}

type roomWaiter struct {
	bytes int64
	given chan struct{}
}

// take waits until there is room for one record of n bytes, at most maxBytes.
func (r *room) take(ctx context.Context, n int64) error {
	if r.waiters.Load() == 0 && r.try(n) {
		return nil
	}
	w := &roomWaiter{bytes: n, given: make(chan struct{})}
	r.mu.Lock()
	r.queue = append(r.queue, w)
	r.waiters.Add(1)
	// Room that was given back before waiters was raised went unnoticed, and so
	// did room that a try of somebody else held for a moment, who comes here too.
	r.serve()
	r.mu.Unlock()
	select {
	case <-w.given:
		return nil
	case <-ctx.Done():
		return r.leave(w, ctx.Err())
	case <-r.closed:
		return r.leave(w, errProducerClosed)
	}
}

// try takes room if there is some.
func (r *room) try(n int64) bool {
	if r.bytes.Add(n) > r.maxBytes {
		r.bytes.Add(-n)
		return false
	}
	if r.records.Add(1) > r.maxRecords {
		r.records.Add(-1)
		r.bytes.Add(-n)
		return false
	}
	return true
}

// give gives back the room of some records.
func (r *room) give(bytes int64, records int) {
	r.records.Add(int64(-records))
	r.bytes.Add(-bytes)
	if r.waiters.Load() > 0 {
		r.mu.Lock()
		r.serve()
		r.mu.Unlock()
	}
}

// serve gives room to who waits longest, as long as there is some. The caller
// holds mu.
func (r *room) serve() {
	for len(r.queue) > 0 && r.try(r.queue[0].bytes) {
		close(r.queue[0].given)
		r.queue = slices.Delete(r.queue, 0, 1)
		r.waiters.Add(-1)
	}
}

// leave ends the wait of w with err.
func (r *room) leave(w *roomWaiter, err error) error {
	r.mu.Lock()
	i := slices.Index(r.queue, w)
	if i >= 0 {
		r.queue = slices.Delete(r.queue, i, i+1)
		r.waiters.Add(-1)
		r.serve() // the next in the queue may need less
	}
	r.mu.Unlock()
	if i < 0 {
		r.give(w.bytes, 1) // was given in the same moment
	}
	return err
}
