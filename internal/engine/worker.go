package engine

import (
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
)

// worker runs attempts of one subscription, one at a time. The slices are its own, and are
// reused from attempt to attempt.
type worker struct {
	sub *Subscription

	// current is the running attempt, nil between attempts. It is all that a worker shows to
	// others.
	current atomic.Pointer[underway]
	isStuck bool // the partition counts the attempt as stuck; its lock guards this

	turn    turn
	lanes   []*lane
	items   []*item
	runs    []int // how many of items belong to lanes[i]
	attempt Attempt
	next    []underway // for future attempts
}

// underway is a running attempt: its context, and the partition whose records it handles.
type underway struct {
	attemptContext
	partition *partition
}

// attemptsAtOnce is the number of attempts in one allocation: about 3 KiB. Making several at
// once costs less. None is reused, since a handler's goroutine may keep its context, which also
// keeps the others of its allocation.
const attemptsAtOnce = 16

// newAttempt returns an attempt that begins now at records of p.
func (w *worker) newAttempt(p *partition, now time.Time) *underway {
	if len(w.next) == 0 {
		w.next = make([]underway, attemptsAtOnce)
	}
	a := &w.next[0]
	w.next = w.next[1:]
	a.partition = p
	a.set(w.sub.shared.base, now, w.sub.Timeout)
	return a
}

// work makes attempts until the subscription needs one worker less, the subscription closes, or
// a handler unwinds it.
func (w *worker) work() {
	for {
		w.lanes = w.sub.take(w, w.lanes[:0], w.sub.BatchSize)
		if w.lanes == nil {
			return
		}
		w.run()
	}
}

// run makes an attempt at the heads of the taken lanes, and the attempts that follow it at
// once. It asks the breaker last: an unused ticket would keep a probe's place.
func (w *worker) run() {
	p, lanes := w.lanes[0].partition, len(w.lanes)
	w.turn = turn{since: time.Now()}
	a := w.begin(p, w.turn.since)
	// The partition goes, and the lanes with it.
	if a == nil {
		w.sub.charge(-lanes)
		return
	}
	w.sub.charge(len(w.items) - lanes)
	for a != nil {
		ticket, ok := w.sub.Breaker.Allow(w.breakerKey())
		if !ok {
			w.sub.charge(-len(w.items))
			w.giveBack(p)
			return
		}
		a.admit(ticket)
		a = w.call(a, ticket)
	}
}

// call runs the handler and concludes the attempt, however the handler ends: by returning, by a
// panic, or by runtime.Goexit, which a test's FailNow calls. A Goexit ends this goroutine once
// the deferred function is done, so another worker takes its place. call returns the attempt
// that follows at once, or nil.
func (w *worker) call(a *underway, ticket resilience.Ticket) (next *underway) {
	var err error
	returned := false
	defer func() {
		// recover returns nil after runtime.Goexit, which distinguishes the two.
		if !returned {
			err = &PanicError{Value: recover(), Stack: debug.Stack()}
		}
		took := time.Since(a.started)
		w.current.Store(nil)
		// Before the outcome counts: a drain does not cut off what has ended.
		a.finish()
		if next = w.conclude(a, took, ticket, err); next != nil {
			return
		}
		clear(w.items)
		clear(w.attempt.Records)
		if unwound, ok := err.(*PanicError); ok && unwound.Value == nil { //nolint:errorlint // made by the worker, never wrapped
			w.sub.replace(w)
		}
	}()
	err = w.sub.Handle(&a.attemptContext, &w.attempt)
	returned = true
	return nil
}

// begin begins an attempt at the taken lanes. It returns nil if their partition is going.
func (w *worker) begin(p *partition, now time.Time) *underway {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != partitionActive {
		return nil
	}
	return w.beginAttempt(p, now)
}

// follow begins an attempt at the partition's next ready lane, as take and begin would, but
// without releasing the locks in between. It returns nil if there is none. It first makes
// w.lanes ready. The caller holds p.mu.
func (w *worker) follow(p *partition, now time.Time) *underway {
	if p.state != partitionActive {
		return nil
	}
	if w.lanes = w.sub.exchange(p, w.lanes, w.turn.attempts); len(w.lanes) == 0 {
		return nil
	}
	w.turn.attempts++
	return w.beginAttempt(p, now)
}

// turn is a worker's stay with one partition. After it, other partitions have their turns, and
// the worker checks again whether the consumer is alive.
type turn struct {
	since    time.Time
	attempts int // after the first
}

// A turn is short compared with the times by which sessions are measured, and long compared
// with a quick handler, so that nearly no attempt of one pays for a new turn. Waiting
// partitions share the attempts.
const (
	turnTime     = time.Millisecond
	turnAttempts = 100
)

// mayFollow reports whether another attempt of the same partition may follow the one ending
// now, within the same turn.
func (w *worker) mayFollow(now time.Time) bool {
	s := w.sub
	return s.BatchSize == 1 && s.Limit == nil && s.Gatherer == nil && now.Sub(w.turn.since) < turnTime
}

// beginAttempt takes the attempt's items from the lanes' heads. From then on a drain finds the
// attempt. Lanes that don't fit go back to the queue: a batch may be full before all of its
// lanes had their turn. The caller holds p.mu.
func (w *worker) beginAttempt(p *partition, now time.Time) *underway {
	s := w.sub
	a := w.newAttempt(p, now)
	w.items, w.runs = w.items[:0], w.runs[:0]
	w.attempt.Records, w.attempt.Number, w.attempt.Epoch = w.attempt.Records[:0], 1, p.epoch
	taken := w.lanes[:0]
	var rest []*lane
	for _, l := range w.lanes {
		// A record that failed before is tried alone; what follows it waits its turn.
		alone := l.head.retry != nil
		if len(w.items) >= s.BatchSize || alone && len(w.items) > 0 || len(w.items) > 0 && w.items[0].retry != nil {
			rest = append(rest, l)
			continue
		}
		l.state, l.taken = laneRunning, 0
		// Items stay in their lane during the attempt: the next item must not overtake them,
		// and they are still there if the attempt is cut off.
		for it := l.head; it != nil && it.sub == s && len(w.items) < s.BatchSize && (l.taken == 0 || it.retry == nil); it = it.next {
			w.items = append(w.items, it)
			w.attempt.Records = append(w.attempt.Records, it.record)
			l.taken++
			if alone {
				break
			}
		}
		w.runs = append(w.runs, l.taken)
		taken = append(taken, l)
	}
	// At once: the worker that takes the first of them must get as many as make a batch.
	if w.lanes = taken; rest != nil {
		s.ready(p, rest...)
	}
	if f := w.items[0].retry; f != nil {
		w.attempt.Number = f.attempts + 1
	}
	// Under the lock under which state was read: a drain either finds the attempt or prevents it.
	p.running++
	w.current.Store(a)
	return a
}

// breakerKey returns the key by which the breaker distinguishes attempts: that of the first
// record, whatever the subscription's order. A subscription by partition has one lane for all
// keys, of which only some may fail.
func (w *worker) breakerKey() uint64 {
	if w.sub.Order == ByKey {
		return w.lanes[0].key
	}
	return keyHash(w.attempt.Records[0])
}

// giveBack undoes beginAttempt for an attempt that an open breaker has refused: its lanes wait
// at the gate, and nothing is used up.
func (w *worker) giveBack(p *partition) {
	w.current.Store(nil)
	p.mu.Lock()
	p.attemptEnded(w)
	p.noteEnd()
	for _, l := range w.lanes {
		l.taken = 0
		if p.state == partitionActive {
			// Parked without a time: the gate wakes it, and it is not in the heap.
			stay := p.park(l, laneGated, time.Time{})
			stay.key = keyHash(l.head.record)
			stay.fresh = l.head.retry == nil
			stay.tried = !stay.fresh && l.head.retry.probes < maxProbes
			stay.probed = stay.tried && l.head.retry.probes > 0
			// Last, since the gate may check at once and sorts by what is set above.
			w.sub.gated.add(stay)
		}
	}
	p.mu.Unlock()
	clear(w.items)
	clear(w.attempt.Records)
}

// conclude turns the outcome of an attempt into each lane's next step. It returns the attempt
// that follows at once, or nil.
func (w *worker) conclude(a *underway, took time.Duration, ticket resilience.Ticket, err error) (next *underway) {
	r, s, p, now := w.sub.shared, w.sub, a.partition, a.started.Add(took)
	switch {
	case err == nil:
		a.report(resilience.Success)
		r.observer.Handled(s, w.attempt.Records, took)
		next = w.succeeded(p, now)
	case a.wasCutOff():
		// Neither handled nor failed: the next owner runs it again.
		w.release(p)
	default:
		v := judged(r.judge, err)
		a.report(w.evidence(v.Breaker, ticket))
		r.observer.Failed(s, &w.attempt, err, v)
		if parked, wait := w.failed(p, now, &attemptFailure{r, v, err, ticket.Blameless()}); parked != nil {
			r.observer.Parked(s, parked, wait)
		}
	}
	// Whatever the outcome: it may have closed the breaker or freed a probe's place.
	s.gated.recheck()
	return next
}

// maxProbes is how often in a row a record is preferred as a probe.
const maxProbes = 4

// evidence returns what a failure says about the dependency. A record's first failure counts,
// and a probe's. A retry's counts while nothing works at all: otherwise the record itself may
// be at fault, and under a flood of poison the retries of a few keys would outnumber everything
// that works. A batch with a suspect in it says nothing about the others either.
func (w *worker) evidence(o resilience.Outcome, t resilience.Ticket) resilience.Outcome {
	f := w.items[0].retry
	retried := f != nil && f.counted && !t.Probe() && !w.sub.Breaker.Silent(f.mark)
	if o == resilience.Failure && (retried || len(w.items) > 1 && slices.ContainsFunc(w.items, w.suspected)) {
		return resilience.Ignored
	}
	return o
}

// suspected reports whether the breaker has seen the item's key fail while others worked.
func (w *worker) suspected(it *item) bool { return w.sub.Breaker.Suspected(keyHash(it.record)) }

// giveUp tells a drain that the worker's attempt a is stuck, unless it has ended meanwhile. An
// attempt's end is counted under the partition's lock, so one that is still current under that
// lock has not been counted.
func (w *worker) giveUp(a *underway) {
	p := a.partition
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.current.Load() == a && !w.isStuck {
		w.isStuck = true
		p.stuck++
		p.noteEnd()
	}
}
