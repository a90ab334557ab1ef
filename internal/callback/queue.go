// Package callback calls users' hooks on goroutines of their own, in order, and never
// two of a queue at once.
package callback

import (
	"context"
	"sync"
)

// Queue calls functions one after another, in the order of Add, each in a goroutine of
// its own. It runs no goroutine while it is empty. It is safe for concurrent use, and
// must not be copied. A function must not panic; one that ends its goroutine, by
// [runtime.Goexit], has returned.
type Queue struct {
	limit int

	mu      sync.Mutex
	waiting []call
	running bool
	closed  bool
	lost    int
	idle    chan struct{} // closed when nothing runs any more; made by Close
}

type call struct {
	f    func()
	done chan struct{}
}

// NewQueue returns a queue in which up to limit functions wait for the one that runs.
func NewQueue(limit int) *Queue { return &Queue{limit: limit} }

// Add enters a function, and returns a channel that is closed when it has returned. A
// full or closed queue never calls it: then done is nil, and lost is how often that
// has happened so far.
func (q *Queue) Add(f func()) (done <-chan struct{}, lost int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := call{f, make(chan struct{})}
	switch {
	case q.closed || len(q.waiting) >= q.limit:
		q.lost++
		return nil, q.lost
	case q.running:
		q.waiting = append(q.waiting, c)
	default:
		q.running = true
		go q.run(c)
	}
	return c.done, q.lost
}

// run calls one function, and then starts the next. It does so in a defer, since the
// function may end the goroutine.
func (q *Queue) run(c call) {
	defer q.next()
	defer close(c.done)
	c.f()
}

func (q *Queue) next() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) > 0 {
		c := q.waiting[0]
		q.waiting[0] = call{} // the array would keep what it refers to
		q.waiting = q.waiting[1:]
		go q.run(c)
		return
	}
	q.running = false
	if q.idle != nil {
		close(q.idle)
	}
}

// Close waits, within ctx, until the queue is empty. Functions that have not begun by
// then are never called, and count as lost. It returns how many were lost in all, and
// how many of those were left at the end. It must be called only once.
func (q *Queue) Close(ctx context.Context) (lost, left int) {
	q.mu.Lock()
	q.closed = true
	q.idle = make(chan struct{})
	if !q.running {
		close(q.idle)
	}
	q.mu.Unlock()
	select {
	case <-q.idle:
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	left = len(q.waiting)
	q.lost += left
	for _, c := range q.waiting {
		close(c.done) // nobody waits for it any longer than for the others
	}
	q.waiting = nil
	return q.lost, left
}
