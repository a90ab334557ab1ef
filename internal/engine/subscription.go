package engine

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
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
	// Scratch is the handler's own, from one attempt of a worker to its next. A
	// worker makes one attempt at a time, so what is in it needs no lock.
	Scratch any
}

// Subscription is what handles records of one kind. Fields are set before
// Attach and not changed afterwards.
// mu guards what is below it, but for gated, which has a lock of its own. Workers are
// started as lanes need them, up to Concurrency.
type Subscription struct {
	Name        string
	Concurrency int // handlers at once; at least 1
	Order       Order
	Retry       resilience.Retry
	Timeout     time.Duration // per attempt; zero: none
	Breaker     *resilience.Breaker
	BatchSize   int // more than 1 makes it a batch handler
	// Gatherer has batches wait until they are full; nil does not.
	Gatherer Gatherer
	// Limit is how many records are tried a second; nil is no limit. mu guards it.
	Limit  Limit
	Handle func(context.Context, *Attempt) error

	shared  *shared
	mu      sync.Mutex
	cond    *sync.Cond
	lanes   rotation[*partition, *lane] // those that may run
	closed  bool
	held    bool        // by an operator
	revive  *time.Timer // set while the group may not count the member in
	limited *time.Timer // set while lanes that are ready wait for Limit

	workers map[*worker]struct{}
	stuck   map[*worker]struct{} // given up: their handlers ignore their context
	idle    int                  // workers that wait and were not woken yet

	taken, takenBefore uint64    // lanes handed to workers: now, and when noteStarved looked
	starvedSince       time.Time // of lanes that are ready and find no worker; zero if there are none

	discarded atomic.Int64 // since the start

	gone chan struct{} // closed when closed and no worker is left

	gated gate
}

// attach makes the subscription part of an engine, once. Defaults are filled in here,
// so that nothing later asks whether a field was set.
func (s *Subscription) attach(r *shared) {
	s.shared = r
	s.cond = sync.NewCond(&s.mu)
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
// The partition's lock is held, and the partition is active.
func (s *Subscription) ready(p *partition, lanes ...*lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.lanes.enter(p, lanes...)
	s.wake(len(lanes))
}

// wake sees to it that n more lanes find a worker. The caller holds mu.
//
// A worker that is woken is not idle any more from here on, not only from when
// it runs: else the next lane would count on it as well, and wait behind the
// handler of the first.
// Lanes that find no worker here are taken when one becomes free.
func (s *Subscription) wake(n int) {
	// With nothing to wake there may be no Breaker yet: an operator may resume before Attach.
	if n <= 0 || s.held || s.closed || s.revive != nil || s.limited != nil {
		return
	}
	for ; n > 0 && s.idle > 0; n-- {
		s.idle--
		s.cond.Signal()
	}
	for most := s.allowed(); n > 0 && len(s.workers) < most; n-- {
		w := &worker{sub: s}
		s.workers[w] = struct{}{}
		go w.work()
	}
}

// allowed returns how many handlers may run at once now.
func (s *Subscription) allowed() int { return s.Breaker.Limit(s.Concurrency) }

// wakeAll sees to it that everything that is ready finds a worker. The caller
// holds mu.
func (s *Subscription) wakeAll() {
	s.wake(s.lanes.count())
}

// take waits for lanes to run and appends them to dst: one, or for a batch
// handler up to n of one partition. Nil means that there will be none any more.
func (s *Subscription) take(w *worker, dst []*lane, n int) []*lane {
	alive := s.shared.consumer.Alive()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		_, mine := s.workers[w]
		switch {
		// It was given up as stuck, and another one has its place.
		case !mine || s.closed:
			s.leave(w)
			return nil
		// A breaker that lowers the concurrency has workers end, one by one, as they come here.
		case len(s.workers) > s.allowed():
			s.leave(w)
			s.wakeAll() // another one is to take the lane that this one was woken for
			return nil
		case s.lanes.empty() || s.held || s.overLimit():
		case alive:
			dst = s.lanes.next(dst, n)
			s.taken += uint64(len(dst))
			if s.Limit != nil {
				s.Limit.Take(len(dst))
			}
			if !s.lanes.empty() && (len(s.workers) < s.allowed() || s.Limit != nil) {
				s.wake(1) // concurrency that was lowered comes back, or a limit let one through
			}
			return dst
		default:
			// The group may have given the partitions to somebody else,
			// which the membership will learn with its next heartbeat.
			s.suspend()
		}
		s.idle++
		s.cond.Wait()
		s.mu.Unlock()
		alive = s.shared.consumer.Alive()
		s.mu.Lock()
	}
}

// exchange makes a lane of a partition ready, if there is one in lanes, and takes the one
// of that partition that is next, if workers may take any: it returns it in the place of
// lanes. It is for a worker within its turn, which has followed so many attempts by others:
// one that was given up as stuck is not, as stuckAfter is longer. The partition's lock is
// held, and the partition is active.
func (s *Subscription) exchange(p *partition, lanes []*lane, followed int) []*lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The more partitions wait, the shorter their turns are.
	switch may := followed < turnAttempts/max(len(s.lanes.ring), 1) && !s.closed && !s.held && s.revive == nil && len(s.workers) <= s.allowed(); {
	case !may && len(lanes) > 0 && !s.closed:
		s.lanes.enter(p, lanes...)
		s.wake(len(lanes))
		return lanes[:0]
	case !may:
		return lanes[:0]
	case len(lanes) > 0 && s.lanes.waiting(p) > 0:
		s.lanes.enter(p, lanes...)
		lanes = s.lanes.of(p, lanes[:0])
	case len(lanes) == 0:
		lanes = s.lanes.of(p, lanes)
	}
	s.taken += uint64(len(lanes))
	return lanes
}

// overLimit reports whether what is ready waits for Limit, and sees to it that the wait
// ends: lanes stay in the queue meanwhile, where a drain leaves them to the next owner.
// The caller holds mu.
func (s *Subscription) overLimit() bool {
	if s.Limit == nil {
		return false
	}
	if s.limited != nil {
		return true
	}
	wait := s.Limit.Wait(time.Now())
	if wait <= 0 {
		return false
	}
	s.limited = time.AfterFunc(wait, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.limited = nil
		if !s.lanes.empty() {
			s.wake(1) // which wakes another, if there is more to take
		}
	})
	return true
}

// charge corrects what an attempt has taken of Limit by n records: a lane may have more
// than the one that take has counted.
func (s *Subscription) charge(n int) {
	if s.Limit != nil && n != 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.Limit.Take(n)
	}
}

// suspend stops the dispatch until the group counts the member in again. The
// caller holds mu.
func (s *Subscription) suspend() {
	if s.revive == nil {
		s.revive = time.AfterFunc(suspended, s.look)
	}
}

// look ends a suspension if it may end.
// Alive is asked without mu: the consumer has locks of its own.
func (s *Subscription) look() {
	alive := s.shared.consumer.Alive()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
	case alive:
		s.revive = nil
		s.wakeAll()
	default:
		s.revive.Reset(suspended)
	}
}

// suspended is the time between two looks whether the member is counted in.
const suspended = 250 * time.Millisecond

// hold stops or resumes the dispatch of the subscription, for an operator.
func (s *Subscription) hold(held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = held
	s.wakeAll()
}

// forget drops what is ready, or waits for the breaker, of a partition that goes.
func (s *Subscription) forget(p *partition) {
	s.gated.forget(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lanes.forget(p)
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

// replace takes a worker whose goroutine ends off the books, and sees to it that
// the lanes that wait find another one.
func (s *Subscription) replace(w *worker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(w)
	s.wakeAll()
}

// close ends the workers and waits for them, after every partition has gone:
// a worker that still runs a handler then was cut off and ignores it, and is
// not waited for.
func (s *Subscription) close() {
	s.gated.close()
	var cutOff []*worker
	s.attempts(func(w *worker, _ *underway) { cutOff = append(cutOff, w) })
	s.mu.Lock()
	for _, w := range cutOff {
		s.leave(w)
	}
	s.closed = true
	if s.revive != nil {
		s.revive.Stop()
	}
	if s.limited != nil {
		s.limited.Stop()
	}
	if len(s.workers) == 0 {
		close(s.gone)
	}
	s.cond.Broadcast()
	s.mu.Unlock()
	<-s.gone
}

// attempts calls f for every attempt under way, which may end meanwhile.
func (s *Subscription) attempts(f func(*worker, *underway)) {
	s.mu.Lock()
	workers := slices.Collect(maps.Keys(s.workers))
	workers = slices.AppendSeq(workers, maps.Keys(s.stuck))
	s.mu.Unlock()
	for _, w := range workers {
		if a := w.current.Load(); a != nil {
			f(w, a)
		}
	}
}

// replaceStuck gives up the workers whose handlers ignore their context: the
// key stays taken, the place among the Concurrency is given to a new worker,
// a breaker that waits for a probe waits no longer, and neither does a drain.
func (s *Subscription) replaceStuck(now time.Time) {
	stuck := make(map[*worker]*underway)
	s.attempts(func(w *worker, a *underway) {
		if a.ignored(now) {
			a.report(resilience.Failure)
			stuck[w] = a
		}
	})
	if len(stuck) == 0 {
		return
	}
	for w, a := range stuck {
		// Without the subscription's lock: giveUp takes the partition's, which comes first.
		w.giveUp(a)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range stuck {
		if _, mine := s.workers[w]; mine {
			delete(s.workers, w)
			s.stuck[w] = struct{}{}
		}
	}
	s.wakeAll()
}

// noteStarved notes since when lanes have been ready without any worker taking one.
// It is called at an interval, so that taking a lane needs no clock.
func (s *Subscription) noteStarved(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.lanes.empty() || s.held || s.revive != nil || s.limited != nil || s.taken != s.takenBefore:
		s.starvedSince, s.takenBefore = time.Time{}, s.taken
	case s.starvedSince.IsZero():
		s.starvedSince = now
	}
}
