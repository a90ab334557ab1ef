package engine

import (
	"errors"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
)

// errExhausted says in a dead letter that the retry budget ran out.
var errExhausted = errors.New("retries exhausted")

// settle turns the outcome of an attempt into each lane's next step.
func (w *worker) settle(ctx *attemptContext, p *partition, ticket resilience.Ticket, took time.Duration, err error) {
	e, s := w.sub.engine, w.sub
	if err == nil {
		ticket.Done(resilience.Success)
		e.observer.Handled(s, w.attempt.Records, took)
		w.settleLanes(p, func(int) error { return nil })
		s.gated.settled()
		return
	}
	if ctx.cutOff() {
		// Neither handled nor failed: the next owner runs it again.
		ticket.Done(resilience.Ignored)
		w.release(p)
		return
	}
	v := e.config.Judge(err)
	ticket.Done(v.Breaker)
	e.observer.Failed(s, &w.attempt, err, v)
	if v.Each != nil {
		w.settleLanes(p, v.Each)
	} else {
		w.settleLanes(p, func(int) error { return err })
	}
	s.gated.settled()
}

// release gives the lanes of an attempt that was cut off back, unfinished.
func (w *worker) release(p *partition) {
	p.mu.Lock()
	var next []*lane
	for _, l := range w.lanes {
		if p.rest(l) {
			next = append(next, l)
		}
	}
	p.mu.Unlock()
	p.engine.setOff(p, next...)
}

// settleLanes ends the attempt's run of each lane. errOf gives the error of
// items[i], nil if it was handled.
func (w *worker) settleLanes(p *partition, errOf func(int) error) {
	alone := len(w.items) == 1
	var next []*lane
	p.mu.Lock()
	if p.state == partitionGone {
		p.mu.Unlock()
		return
	}
	at := 0
	for i, l := range w.lanes {
		items := w.items[at : at+w.runs[i]]
		done := 0
		// An item behind a failed one of its key counts as failed as well:
		// handled before it, it would be out of order.
		for done < len(items) && errOf(at+done) == nil {
			p.finish(l.pop())
			done++
		}
		if done < len(items) {
			items[done].failed(errOf(at + done))
			if !alone {
				for _, it := range items[done:] {
					it.rerun()
				}
			}
		}
		at += len(items)
		if !p.rest(l) {
			continue
		}
		if alone && done == 0 {
			p.engine.decide(p, l, errOf(0))
		}
		if l.state == laneReady {
			next = append(next, l)
		}
	}
	p.mu.Unlock()
	p.engine.setOff(p, next...)
}

// rerun makes an item of a failed batch run alone from now on.
func (it *item) rerun() {
	if it.fail == nil {
		it.fail = &failing{first: time.Now()}
	}
}

// failed notes a failed attempt in the item's budget. The caller holds p.mu.
func (it *item) failed(err error) {
	now := time.Now()
	if it.fail == nil {
		it.fail = &failing{first: now, openBefore: it.sub.Breaker.OpenFor()}
	}
	it.fail.last, it.fail.err = now, err
}

// decide gives the failed head of a lane its next step: a wait, or the end. The
// caller holds p.mu.
func (e *Engine) decide(p *partition, l *lane, err error) {
	it := l.head
	s, f := it.sub, it.fail
	v := e.config.Judge(err)
	f.reason, f.stack = v.Reason, v.Stack
	if v.Kind == Wait {
		p.park(l, laneParked, time.Now().Add(max(v.After, postponed)))
		return
	}
	f.attempts++
	if v.Kind == Dead {
		f.end = DeadEnd
		return
	}
	// The clock stands still while the breaker is open.
	elapsed := time.Since(f.first) - (s.Breaker.OpenFor() - f.openBefore)
	wait, again := s.Retry.Next(f.attempts, max(elapsed, 0))
	if !again {
		f.end, f.reason = DeadEnd, "exhausted"
		f.err = errors.Join(errExhausted, err)
		return
	}
	if v.After > 0 {
		wait = v.After
	}
	p.park(l, laneParked, time.Now().Add(wait))
}

// setOff sends lanes whose head may move on its way: to its subscription's
// workers, to the dead-letter topic, or to wait for another owner.
func (e *Engine) setOff(p *partition, lanes ...*lane) {
	for _, l := range lanes {
		switch it := l.head; {
		case it.fail == nil || it.fail.end == Handle:
			it.sub.ready(p, l)
		case it.fail.end == Hold:
			p.mu.Lock()
			if p.state == partitionActive {
				p.park(l, laneHeld, time.Time{})
			}
			p.mu.Unlock()
		default:
			e.letters.add(l)
		}
	}
}

// resumeLane ends a lane's wait.
func (e *Engine) resumeLane(l *lane) {
	p := l.partition
	p.mu.Lock()
	if p.state != partitionActive || l.state < laneParked {
		p.mu.Unlock()
		return
	}
	p.unpark(l)
	p.mu.Unlock()
	e.setOff(p, l)
}
