package engine

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// Order says what is handled one at a time.
type Order int8

// The orders.
const (
	ByKey Order = iota
	ByPartition
	Unordered
)

// Attempt is one try at handling records: one, or those of a batch, which are
// of one partition.
type Attempt struct {
	Records []*transport.Record
	// Number counts this record's attempts, from 1. Records of a batch of
	// more than one are all at their first.
	Number int
	// Epoch is the assignment's: a fencing token that grows with each change
	// of the partition's owner within one consumer.
	Epoch uint64
}

// Subscription is what handles records of one kind. Fields are set before
// Attach and not changed afterwards.
type Subscription struct {
	Name        string
	Concurrency int // handlers at once; at least 1
	Order       Order
	Retry       resilience.Retry
	Timeout     time.Duration // per attempt; zero: none
	Breaker     *resilience.Breaker
	BatchSize   int // more than 1 makes it a batch handler
	Handle      func(context.Context, *Attempt) error

	engine *Engine
	mu     sync.Mutex
	cond   *sync.Cond
	queues map[*partition]*readyQueue
	ring   []*readyQueue // those with lanes, taken in turn
	turn   int
	closed bool
	held   bool // by an operator

	workers map[*worker]struct{}
	stuck   map[*worker]struct{} // given up: their handlers ignore their context
	idle    int
	gone    chan struct{} // closed when closed and no worker is left

	gated gate
}

// readyQueue holds the lanes of one partition that may run.
type readyQueue struct {
	partition *partition
	lanes     []*lane
	head      int
	inRing    bool
}

func (s *Subscription) attach(e *Engine) {
	s.engine = e
	s.cond = sync.NewCond(&s.mu)
	s.queues = make(map[*partition]*readyQueue)
	s.workers = make(map[*worker]struct{})
	s.stuck = make(map[*worker]struct{})
	s.gone = make(chan struct{})
	s.gated.sub = s
	if s.Concurrency < 1 {
		s.Concurrency = 1
	}
	if s.BatchSize < 1 {
		s.BatchSize = 1
	}
	if s.Breaker == nil {
		s.Breaker = resilience.NewBreaker(s.Name, resilience.BreakerConfig{Disabled: true})
	}
}

// ready enters lanes of one partition into the queue and wakes as many workers.
func (s *Subscription) ready(p *partition, lanes ...*lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	q := s.queues[p]
	if q == nil {
		q = &readyQueue{partition: p}
		s.queues[p] = q
	}
	q.lanes = append(q.lanes, lanes...)
	if !q.inRing {
		q.inRing = true
		s.ring = append(s.ring, q)
	}
	s.wake(len(lanes))
}

// wake sees to it that n more lanes find a worker. The caller holds mu.
func (s *Subscription) wake(n int) {
	if s.held {
		return
	}
	for range min(n, s.idle) {
		s.cond.Signal()
	}
	for n -= s.idle; n > 0 && len(s.workers) < s.Concurrency; n-- {
		w := &worker{sub: s}
		s.workers[w] = struct{}{}
		go w.work()
	}
}

// take waits for lanes to run and appends them to dst: one, or for a batch
// handler up to n of one partition. Nil means that there will be none any more.
func (s *Subscription) take(w *worker, dst []*lane, n int) []*lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if _, mine := s.workers[w]; !mine || s.closed {
			s.leave(w)
			return nil
		}
		if len(s.ring) > 0 && !s.held {
			return s.takeFrom(dst, n)
		}
		s.idle++
		s.cond.Wait()
		s.idle--
	}
}

func (s *Subscription) takeFrom(dst []*lane, n int) []*lane {
	if s.turn >= len(s.ring) {
		s.turn = 0
	}
	q := s.ring[s.turn]
	n = min(n, len(q.lanes)-q.head)
	dst = append(dst, q.lanes[q.head:q.head+n]...)
	q.head += n
	if q.head < len(q.lanes) {
		s.turn++
		// Taken lanes at the front are dropped once they are the larger half.
		if q.head > 1024 && q.head > len(q.lanes)/2 {
			q.lanes = append(q.lanes[:0], q.lanes[q.head:]...)
			q.head = 0
		}
		return dst
	}
	q.lanes, q.head, q.inRing = q.lanes[:0], 0, false
	last := len(s.ring) - 1
	copy(s.ring[s.turn:], s.ring[s.turn+1:])
	s.ring[last] = nil
	s.ring = s.ring[:last]
	return dst
}

// forget drops what is ready of a partition that goes.
func (s *Subscription) forget(p *partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[p]
	if q == nil {
		return
	}
	delete(s.queues, p)
	for i, other := range s.ring {
		if other == q {
			s.ring = append(s.ring[:i], s.ring[i+1:]...)
			break
		}
	}
}

// hold stops or resumes the dispatch of the subscription, for an operator.
func (s *Subscription) hold(held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = held
	n := 0
	for _, q := range s.ring {
		n += len(q.lanes) - q.head
	}
	s.wake(n)
}

// leave takes a worker off the books. The caller holds mu.
func (s *Subscription) leave(w *worker) {
	delete(s.stuck, w)
	if _, mine := s.workers[w]; mine {
		delete(s.workers, w)
		if s.closed && len(s.workers) == 0 {
			close(s.gone)
		}
	}
}

// close ends the workers and waits for them, after every partition has gone:
// a worker that still runs a handler then was cut off and ignores it, and is
// not waited for.
func (s *Subscription) close() {
	s.gated.close()
	var cutOff []*worker
	s.attempts(func(w *worker, _ *attemptContext) { cutOff = append(cutOff, w) })
	s.mu.Lock()
	for _, w := range cutOff {
		s.leave(w)
	}
	s.closed = true
	if len(s.workers) == 0 {
		close(s.gone)
	}
	s.cond.Broadcast()
	s.mu.Unlock()
	<-s.gone
}

// attempts calls f for every attempt under way.
func (s *Subscription) attempts(f func(*worker, *attemptContext)) {
	s.mu.Lock()
	workers := slices.Collect(maps.Keys(s.workers))
	workers = slices.AppendSeq(workers, maps.Keys(s.stuck))
	s.mu.Unlock()
	for _, w := range workers {
		w.mu.Lock()
		if w.current != nil {
			f(w, w.current)
		}
		w.mu.Unlock()
	}
}

// replaceStuck gives up the workers whose handlers ignore their context: the
// key stays taken, the place among the Concurrency is given to a new worker.
func (s *Subscription) replaceStuck(now time.Time) {
	var stuck []*worker
	s.attempts(func(w *worker, c *attemptContext) {
		if !c.deadline.IsZero() && now.Sub(c.deadline) > stuckAfter {
			stuck = append(stuck, w)
		}
	})
	if len(stuck) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range stuck {
		if _, mine := s.workers[w]; mine {
			delete(s.workers, w)
			s.stuck[w] = struct{}{}
		}
	}
	s.wake(len(stuck))
}

// stuckAfter is how long past its deadline a handler may take to return before
// its place is given to another.
const stuckAfter = time.Second
