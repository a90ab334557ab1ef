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

// Order says which records are handled one at a time.
type Order int8

// The orders.
const (
	ByKey Order = iota
	ByPartition
	Unordered
)

// Attempt is one try at handling records: one record, or a batch of one partition.
type Attempt struct {
	Records []*transport.Record
	// Number counts the record's attempts, from 1. In a batch of more than one, all records are
	// at their first.
	Number int
	// Epoch is the assignment's: a fencing token that grows each time the partition changes
	// hands within one consumer.
	Epoch uint64
	// Scratch belongs to the handler, from one attempt of a worker to its next. A worker makes
	// one attempt at a time, so no lock is needed.
	Scratch any
}

// Subscription handles records of one kind. Its exported fields are set before Attach and don't
// change afterwards. mu guards the fields below it, except gated, which has its own lock.
// Workers are started as lanes need them, up to Concurrency.
type Subscription struct {
	Name        string
	Concurrency int // handlers at once; at least 1
	Order       Order
	Retry       resilience.Retry
	Timeout     time.Duration // per attempt; zero means none
	Breaker     *resilience.Breaker
	BatchSize   int // more than 1 makes it a batch handler
	// Gatherer makes batches wait until they are full. If nil they don't wait.
	Gatherer Gatherer
	// Limit bounds the records tried a second; nil means no limit. mu guards it.
	Limit  Limit
	Handle func(context.Context, *Attempt) error

	shared  *shared
	mu      sync.Mutex
	cond    *sync.Cond
	lanes   rotation[*partition, *lane] // ready to run
	closed  bool
	held    bool        // by an operator
	revive  *time.Timer // set while the group may not count the member in
	limited *time.Timer // set while ready lanes wait for Limit

	workers map[*worker]struct{}
	stuck   map[*worker]struct{} // given up, since their handlers ignore their context
	idle    int                  // workers that wait and have not been woken

	taken, takenBefore uint64    // lanes passed to workers: now, and at the last call of noteStarved
	starvedSince       time.Time // since when ready lanes have found no worker; zero if none wait

	discarded atomic.Int64 // since the start

	gone chan struct{} // closed once closed is set and no worker is left

	gated gate
}

// attach makes the subscription part of an engine, once. It fills in defaults, so that later
// code need not check whether a field is set.
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

// ready adds lanes of one partition to the queue, and wakes as many workers. The caller holds
// the partition's lock, and the partition is active.
func (s *Subscription) ready(p *partition, lanes ...*lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.lanes.enter(p, lanes...)
	s.wake(len(lanes))
}

// wake makes sure that n more lanes find a worker. The caller holds mu.
//
// A woken worker counts as busy from here on, not only once it runs: otherwise the next lane
// would count on it too, and wait behind the first lane's handler. Lanes that find no worker
// here are taken when one becomes free.
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

// allowed returns how many handlers may run at the same time now.
func (s *Subscription) allowed() int { return s.Breaker.Limit(s.Concurrency) }

// wakeAll makes sure that everything ready finds a worker. The caller holds mu.
func (s *Subscription) wakeAll() {
	s.wake(s.lanes.count())
}

// take waits for lanes to run and appends them to dst: one or, for a batch handler, up to n of
// one partition. It returns nil if the worker must end.
func (s *Subscription) take(w *worker, dst []*lane, n int) []*lane {
	alive := s.shared.consumer.Alive()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		_, mine := s.workers[w]
		switch {
		// The worker was given up as stuck, and another has its place.
		case !mine || s.closed:
			s.leave(w)
			return nil
		// If a breaker lowers the concurrency, workers end here one by one.
		case len(s.workers) > s.allowed():
			s.leave(w)
			s.wakeAll() // another worker must take the lane that this one was woken for
			return nil
		case s.lanes.empty() || s.held || s.overLimit():
		case alive:
			dst = s.lanes.next(dst, n)
			s.taken += uint64(len(dst))
			if s.Limit != nil {
				s.Limit.Take(len(dst))
			}
			if !s.lanes.empty() && (len(s.workers) < s.allowed() || s.Limit != nil) {
				s.wake(1) // concurrency is restored, or a limit let one through
			}
			return dst
		default:
			// The group may have assigned the partitions to somebody else, which the member
			// will learn with its next heartbeat.
			s.suspend()
		}
		s.idle++
		s.cond.Wait()
		s.mu.Unlock()
		alive = s.shared.consumer.Alive()
		s.mu.Lock()
	}
}

// exchange makes a partition's lane, if there is one in lanes, ready, and returns in its place
// the partition's next lane, if workers may take any. It is for a worker within its turn, which
// has made followed attempts already. Such a worker can't have been given up as stuck, since
// stuckAfter is longer than a turn. The caller holds the partition's lock, and the partition is
// active.
func (s *Subscription) exchange(p *partition, lanes []*lane, followed int) []*lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The more partitions wait, the shorter their turns.
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

// overLimit reports whether ready lanes must wait for Limit, and makes sure that the wait ends.
// Meanwhile lanes stay in the queue, where a drain leaves them to the next owner. The caller
// holds mu.
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
			s.wake(1) // that wakes another one if there is more to take
		}
	})
	return true
}

// charge corrects by n records what an attempt has taken of Limit: take has counted one per
// lane, and a lane may have more.
func (s *Subscription) charge(n int) {
	if s.Limit != nil && n != 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.Limit.Take(n)
	}
}

// suspend stops dispatching until the group counts the member in again. The caller holds mu.
func (s *Subscription) suspend() {
	if s.revive == nil {
		s.revive = time.AfterFunc(suspended, s.look)
	}
}

// look ends a suspension if possible. It calls Alive without mu: the consumer has its own locks.
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

// suspended is the time between two checks whether the group counts the member in.
const suspended = 250 * time.Millisecond

// hold stops or resumes dispatching, for an operator.
func (s *Subscription) hold(held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = held
	s.wakeAll()
}

// forget drops the lanes of a partition that goes, whether they are ready or wait for the breaker.
func (s *Subscription) forget(p *partition) {
	s.gated.forget(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lanes.forget(p)
}

// leave removes a worker from the lists. The caller holds mu.
func (s *Subscription) leave(w *worker) {
	delete(s.stuck, w)
	if _, mine := s.workers[w]; mine {
		delete(s.workers, w)
		if s.closed && len(s.workers) == 0 {
			close(s.gone)
		}
	}
}

// replace removes a worker whose goroutine ends, and makes sure that waiting lanes find another
// one.
func (s *Subscription) replace(w *worker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(w)
	s.wakeAll()
}

// close ends the workers and waits for them, once every partition has gone. It does not wait
// for a worker that still runs a handler: that was cut off and ignores it.
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

// attempts calls f for every running attempt, which may end meanwhile.
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

// replaceStuck gives up the workers whose handlers ignore their context. The key stays taken, a
// new worker gets the place among the Concurrency, and neither a breaker that waits for a probe
// nor a drain waits any longer.
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
		// Without the subscription's lock: giveUp acquires the partition's, which comes first.
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

// noteStarved records since when lanes have been ready without any worker taking one. It runs
// at an interval, so that taking a lane needs no clock.
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
