package engine

import (
	"context"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
)

// letters writes dead letters in the order in which they fall due. One goroutine passes them
// on; acknowledgements come on the producer's. mu guards lanes and closed. A lane is in the
// queue at most once, and is then in state laneWriting.
type letters struct {
	shared *shared
	mu     sync.Mutex
	cond   *sync.Cond
	lanes  []*lane
	closed bool
}

// start prepares the queue. The engine runs write on a goroutine.
func (q *letters) start(r *shared) {
	q.shared = r
	q.cond = sync.NewCond(&q.mu)
}

// writeLetter queues the dead letter of a lane's head. It counts as being written from here on,
// so that a drain also waits for queued letters. The caller holds mu.
func (p *partition) writeLetter(l *lane) {
	p.park(l, laneWriting, time.Time{})
	p.writing++
	p.shared.letters.add(l)
}

// add queues a lane whose head's letter is to be written. The lane stays in state laneWriting, so
// nothing of its key overtakes the letter.
func (q *letters) add(l *lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lanes = append(q.lanes, l)
	q.cond.Signal()
}

// take waits for the next lane. It returns nil once the queue is closed.
func (q *letters) take() *lane {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.lanes) == 0 && !q.closed {
		q.cond.Wait()
	}
	if q.closed {
		return nil
	}
	l := q.lanes[0]
	// The array would keep the lane alive.
	q.lanes[0] = nil
	q.lanes = q.lanes[1:]
	return l
}

// write passes dead letters on until close. It waits for no acknowledgement, so that one key
// whose letter takes long does not hold up others.
func (q *letters) write(ctx context.Context) {
	for l := q.take(); l != nil; l = q.take() {
		l.partition.mu.Lock()
		// The next owner of a sealed partition writes the letter; this would be a second one.
		wanted := l.partition.state < partitionSealed
		var f *Failure
		if wanted {
			// Under the lock, since drop may remove the head at any moment.
			f = l.head.failure()
		}
		l.partition.mu.Unlock()
		if wanted {
			q.shared.deadLetter(ctx, f, func(err error) { q.written(l, f, err) })
		}
	}
}

// written ends the wait of a lane whose dead letter was acknowledged or has failed. If it has
// failed, the key keeps waiting, and nothing is skipped.
func (q *letters) written(l *lane, f *Failure, err error) {
	r, p := q.shared, l.partition
	if err == nil {
		r.observer.DeadLettered(f)
	} else {
		r.observer.DeadLetterFailed(f, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state >= partitionSealed {
		return // too late: the next owner writes it again
	}
	p.writing--
	// goOn clears since, but this wait continues.
	since := l.since
	p.unpark(l)
	if err == nil {
		p.finish(l.pop(), time.Now())
		if p.goOn(l) {
			p.setOff(l)
		}
	} else {
		// Retry without limit: a record ends by its letter or by an operator, never by time.
		l.head.retry.writes++
		l.head.retry.refused = err
		if p.goOn(l) {
			l.since = since
			wait, _ := resilience.Unlimited().Next(l.head.retry.writes, 0)
			p.park(l, laneRewriting, time.Now().Add(wait))
		}
	}
	p.noteEnd()
}

// close ends write. Lanes still in the queue keep their records, which the next owner reads and
// decides about again.
func (q *letters) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.lanes = nil
	q.cond.Broadcast()
}
