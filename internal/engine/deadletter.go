package engine

import (
	"context"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
)

// letters writes dead letters, in the order in which they fell due. One
// goroutine hands them over; acknowledgements come on the producer's.
type letters struct {
	engine *Engine
	mu     sync.Mutex
	cond   *sync.Cond
	lanes  []*lane
	closed bool
}

func (q *letters) start(e *Engine) {
	q.engine = e
	q.cond = sync.NewCond(&q.mu)
}

func (q *letters) add(l *lane) {
	p := l.partition
	p.mu.Lock()
	if p.state != partitionActive {
		p.mu.Unlock()
		return
	}
	// A drain waits for it: what has been decided is written, not left to the
	// next owner, who would spend all its attempts again.
	l.state = laneRunning
	p.writing++
	p.mu.Unlock()
	q.mu.Lock()
	q.lanes = append(q.lanes, l)
	q.mu.Unlock()
	q.cond.Signal()
}

// write hands dead letters over until close.
func (q *letters) write(ctx context.Context) {
	for {
		q.mu.Lock()
		for len(q.lanes) == 0 && !q.closed {
			q.cond.Wait()
		}
		if q.closed {
			q.mu.Unlock()
			return
		}
		l := q.lanes[0]
		q.lanes = q.lanes[1:]
		q.mu.Unlock()
		f := l.head.failure()
		q.engine.config.DeadLetter(ctx, f, func(err error) { q.written(l, f, err) })
	}
}

// written settles a lane whose dead letter was acknowledged, or failed: then the
// key keeps waiting, and nothing is skipped.
func (q *letters) written(l *lane, f *Failure, err error) {
	e, p := q.engine, l.partition
	if err == nil {
		e.observer.DeadLettered(f)
	} else {
		e.observer.DeadLetterFailed(f, err)
	}
	p.mu.Lock()
	if p.state == partitionGone {
		p.mu.Unlock()
		return
	}
	if err == nil {
		p.finish(l.pop())
	}
	p.writing--
	goesOn := p.goOn(l)
	if goesOn && err != nil {
		l.head.fail.writes++
		l.head.fail.refused = err
		wait, _ := resilience.Unlimited().Next(l.head.fail.writes, 0)
		p.park(l, laneDying, time.Now().Add(wait))
		goesOn = false
	}
	p.mu.Unlock()
	if goesOn {
		e.setOff(p, l)
	}
}

func (q *letters) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.cond.Broadcast()
}
