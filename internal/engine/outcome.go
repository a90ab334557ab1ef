package engine

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
)

// errExhausted in a dead letter says that the retry budget was used up.
var errExhausted = errors.New("retries exhausted")

// errDecided is the error in a dead letter that an earlier owner of the partition decided on
// and could not write.
var errDecided = errors.New("an earlier owner of the partition gave the event up; that member's log has the error of the last attempt")

// attemptFailure says how an attempt failed; nil if it did not.
type attemptFailure struct {
	shared  *shared
	verdict Verdict
	err     error
	// blameless is set for a probe of a breaker behind which nothing has worked yet.
	blameless bool
}

// of returns the error of the attempt's record i, nil if it was handled.
func (f *attemptFailure) of(i int) error {
	switch {
	case f == nil:
		return nil
	case f.verdict.Each != nil:
		return f.verdict.Each(i)
	}
	return f.err
}

// verdictOn returns the verdict on the error of one record. A probe that fails as the attempts
// before it did uses up nothing: otherwise a long outage would exhaust the budgets of the
// probing records. Once another probe has worked, a failure is the record's own fault again, so
// poisonous keys don't keep probing.
func (f *attemptFailure) verdictOn(err error) Verdict {
	v := f.verdict
	// The attempt's verdict is about the batch; each record's error has its own.
	if v.Each != nil {
		v = judged(f.shared.judge, err)
	}
	if f.blameless && v.Kind == Retry && v.Breaker == resilience.Failure {
		v.Kind, v.probe = Wait, true
	}
	return v
}

// reasonPanic is the dead letter's reason if the last attempt did not return.
const reasonPanic = "panic"

// judged returns judge's verdict on an error. That a handler did not return is known only to
// the worker, not to judge.
func judged(judge func(error) Verdict, err error) Verdict {
	if unwound, ok := err.(*PanicError); ok { //nolint:errorlint // made by the worker, never wrapped
		return Verdict{Kind: Retry, Reason: reasonPanic, Stack: unwound.Stack, Breaker: resilience.Failure}
	}
	return judge(err)
}

// succeeded ends an attempt that did not fail. It returns the attempt that follows at once, or
// nil.
func (w *worker) succeeded(p *partition, now time.Time) (next *underway) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.finishLanes(p, now, nil)
	if w.mayFollow(now) {
		next = w.follow(p, now)
	} else {
		w.goOn(p)
	}
	p.noteEnd()
	return next
}

// failed ends a failed attempt. If its record now waits for another attempt, it returns the
// record and the wait.
func (w *worker) failed(p *partition, now time.Time, f *attemptFailure) (parked *Failure, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	parked, wait = w.finishLanes(p, now, f)
	w.goOn(p)
	p.noteEnd()
	return parked, wait
}

// goOn makes the lanes that finishLanes left in w.lanes ready: together, so that no worker
// begins a batch with some of them. The caller holds p.mu.
func (w *worker) goOn(p *partition) {
	if len(w.lanes) > 0 {
		w.sub.arrive(p, w.lanes...)
	}
}

// finishLanes ends the attempt's part of each lane, and leaves in w.lanes those that are ready
// for the subscription again. It returns what failed returns; f is nil if the attempt did not
// fail. The caller holds p.mu.
func (w *worker) finishLanes(p *partition, now time.Time, f *attemptFailure) (parked *Failure, wait time.Duration) {
	p.attemptEnded(w)
	at, lanes := 0, w.lanes
	w.lanes = lanes[:0] // reuses the places of lanes already seen
	if p.state >= partitionSealed {
		return nil, 0 // too late: the next owner runs them again
	}
	for i, l := range lanes {
		items := w.items[at : at+w.runs[i]]
		l.taken = 0
		// Only a record that ran alone uses its budget: a batch may have failed because of
		// another record.
		if f != nil && len(w.items) == 1 {
			err := f.of(0)
			parked, wait = p.failed(l, now, f.verdictOn(err), err)
		} else {
			p.finishRun(l, items, now, func(i int) error { return f.of(at + i) }, f)
			switch {
			case !p.goOn(l):
			case l.head.retry == nil && l.head.sub == w.sub:
				w.lanes = append(w.lanes, l)
			case l.head.retry == nil:
				l.head.sub.arrive(p, l)
			default:
				p.setOff(l)
			}
		}
		at += len(items)
	}
	return parked, wait
}

// finishRun ends a lane's part of a batch, whose items are the lane's first ones. Items that
// the handler does not report as failed are finished, even behind a failed item of their key:
// the handler had them in order, and reports the outcome of each. Failed ones stay, in order,
// and run alone from now on, unless their verdict is final. The caller holds mu.
func (p *partition) finishRun(l *lane, items []*item, now time.Time, err func(i int) error, f *attemptFailure) {
	var failed []*item
	for i, it := range items {
		l.pop()
		failure := err(i)
		if failure == nil {
			p.finish(it, now)
			continue
		}
		// Dead is final: another attempt, alone, would change nothing.
		if v := f.verdictOn(failure); v.Kind == Discard {
			p.discard(it, now, v, failure)
			continue
		} else if v.Kind == Dead {
			it.failed(v, failure, now)
		} else {
			if it.retry == nil {
				it.retry = new(retryState)
			}
			// It has a history now, though no attempt, so it runs alone next time.
			it.retry.err = failure
			// Others of its batch worked, so the breaker takes it for a retry from here on.
			if f.verdict.Breaker == resilience.Success && v.Breaker == resilience.Failure {
				it.retry.counted, it.retry.mark = true, it.sub.Breaker.Mark()
			}
			// A wait beyond the end of the policy is left to the attempt that uses the policy
			// up.
			if v.After > 0 && v.After <= it.sub.Retry.Left(0, 0) {
				it.retry.notBefore = now.Add(v.After)
			}
		}
		failed = append(failed, it)
	}
	// From the last one on, so that the first becomes the head again.
	for _, it := range slices.Backward(failed) {
		l.pushFront(it)
	}
}

// release returns the lanes of an attempt that was cut off, unfinished. They are not set off:
// the partition goes, and its next owner reads them.
func (w *worker) release(p *partition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attemptEnded(w)
	p.cut++
	for _, l := range w.lanes {
		l.taken = 0
	}
	p.noteEnd()
}

// failed counts a failed attempt at the head of a lane against its budget, and takes the next
// step: a wait, which it returns, or the dead letter. The caller holds mu.
func (p *partition) failed(l *lane, now time.Time, v Verdict, err error) (parked *Failure, wait time.Duration) {
	if v.Kind == Discard {
		// Even in a drain, like what was handled: the next owner would only try it again.
		p.discard(l.pop(), now, v, err)
		if p.goOn(l) {
			p.setOff(l)
		}
		return nil, 0
	}
	wait, again := l.head.failed(v, err, now)
	switch {
	case !again:
		if f := l.head.retry; f.counted && errors.Is(f.err, errExhausted) {
			// While others work, the fault is with the key and not with what it needs: let the
			// breaker judge by the others.
			l.head.sub.Breaker.Suspect(keyHash(l.head.record), f.mark)
		}
		// Even in a drain, which waits for it: a decided letter is written, not left to the
		// next owner, who would try the event again.
		p.writeLetter(l)
	case p.goOn(l):
		p.park(l, laneParked, now.Add(wait))
		parked = l.head.failure()
	}
	return parked, wait
}

// discard finishes a popped item without a dead letter, together with its used budget. The
// caller holds mu.
func (p *partition) discard(it *item, now time.Time, v Verdict, err error) {
	f := Failure{Record: it.record, Reason: v.Reason, Err: err, Attempts: 1, First: now, Last: now}
	if r := it.retry; r != nil && r.attempts > 0 {
		f.Attempts, f.First = r.attempts+1, r.first
	}
	it.sub.discarded.Add(1)
	p.shared.observer.Discarded(&f)
	p.finish(it, now)
}

// failed records a failed attempt, and reports whether and when there is another.
func (it *item) failed(v Verdict, err error, now time.Time) (wait time.Duration, again bool) {
	if it.retry == nil {
		it.retry = new(retryState)
	}
	f := it.retry
	// The dead letter has the last failure, and the time of the first.
	f.last, f.err, f.reason, f.stack = now, err, v.Reason, v.Stack
	if v.Breaker == resilience.Failure && !f.counted {
		f.counted, f.mark = true, it.sub.Breaker.Mark()
	}
	if v.probe {
		f.probes++
	} else {
		f.probes = 0
	}
	if v.Kind == Wait {
		wait = max(v.After, waitAgain)
		f.stood += wait
		return wait, true
	}
	// The policy's time runs from the first attempt that counts.
	if f.attempts == 0 {
		f.first, f.stood, f.openBefore = now, 0, it.sub.Breaker.OpenFor()
	}
	f.attempts++
	if v.Kind == Dead {
		f.end = DeadEnd
		return 0, false
	}
	elapsed := f.elapsed(it.sub.Breaker, now)
	left := it.sub.Retry.Left(f.attempts, elapsed)
	switch wait, again = it.sub.Retry.Next(f.attempts, elapsed); {
	case !again:
		f.exhaust(fmt.Errorf("%w: %w", errExhausted, err))
	case v.After > left:
		// Waiting less would call the handler before the time that it asked for, and waiting
		// all of it would hold the key longer than the policy allows. So the answer is already
		// known.
		again = false
		f.exhaust(fmt.Errorf("%w: the handler asked to be called again after %v, and its retry policy ends in %v: "+
			"set a longer Elapsed in the subscription's retry policy: %w", errExhausted, v.After, left.Round(time.Millisecond), err))
	case v.After > 0:
		wait = v.After
	case v.Wait > 0:
		wait = min(v.Wait, left)
	}
	return wait, again
}

// exhaust decides that the record is dead-lettered, with err as its error.
func (f *retryState) exhaust(err error) {
	f.end, f.reason, f.err = DeadEnd, reasonExhausted, err
}

// reasonExhausted is the dead letter's reason if the retry policy has ended.
const reasonExhausted = "exhausted"

// waitAgain is the least that a record waits which could not be tried.
const waitAgain = 250 * time.Millisecond

// setOff sets off a lane whose head may move: to its subscription's workers, to the dead-letter
// topic, or to wait for another owner. The caller holds mu, and the partition is active.
func (p *partition) setOff(l *lane) {
	// A released head may end at once, by Skip. Loop, since thousands of them may wait in one lane.
	for {
		switch it := l.head; {
		case it.retry == nil || it.retry.end == Handle && !time.Now().Before(it.retry.notBefore):
			it.sub.ready(p, l)
			return
		case it.retry.end == Handle:
			p.park(l, laneParked, it.retry.notBefore)
			return
		case it.retry.end == Hold || it.retry.end == await && p.shared.foreign.keeps(it.retry.foreign, p.shared.pool.heldFull()):
			p.park(l, laneHeld, time.Time{})
			return
		case it.retry.end == await:
			if p.release(l) && !p.goOn(l) {
				return
			}
		default:
			p.writeLetter(l)
			return
		}
	}
}

// resume ends a lane's wait, if the lane is still in it. By now it may be in another wait, or
// belong to another key, which the identity of the wait shows.
func (w *wait) resume() {
	l := w.lane
	p := l.partition
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.wait == w && p.state == partitionActive {
		p.unpark(l)
		p.setOff(l)
	}
}
