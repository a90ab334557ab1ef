package engine

import (
	"context"
	"errors"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// Assigned implements transport.Listener.
func (e *Engine) Assigned(assigned []transport.Assignment) {
	e.mu.Lock()
	for i := range assigned {
		e.partitions[assigned[i].Partition] = newPartition(e, &assigned[i])
	}
	e.mu.Unlock()
	e.observer.Assigned(len(assigned))
}

// Revoked implements transport.Listener: nothing new starts, what runs may
// finish until ctx ends, and then all that is finished is committed.
//
// Waiting and parked records are dropped at once, so a backoff never delays a
// rebalance; the next owner reads them again, their budgets in the metadata.
func (e *Engine) Revoked(ctx context.Context, revoked []transport.Partition) {
	going := e.going(revoked)
	for _, p := range going {
		p.mu.Lock()
		p.state = partitionDraining
		p.noteEnd()
		p.mu.Unlock()
		for s := range e.subs {
			s.forget(p)
		}
	}
	soft, cancel := softDeadline(ctx)
	defer cancel()
	if !ended(soft, going, (*partition).handlersEnded) {
		e.cutOff(going)
		ended(ctx, going, (*partition).handlersEnded)
	}
	patient, cancel := context.WithTimeout(ctx, letterPatience)
	defer cancel()
	ended(patient, going, (*partition).lettersEnded)
	// The drain bound may have passed: commit what was finished all the same.
	commitCtx := ctx
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		commitCtx, cancel = context.WithTimeout(context.WithoutCancel(ctx), lateCommit)
		defer cancel()
	}
	if e.config.Flush != nil {
		if err := e.config.Flush(commitCtx); err != nil {
			e.log.Warn("flush before the final commit failed", "group", e.config.Group, "error", err)
		}
	}
	if err := e.commit(commitCtx, going); err != nil && !errors.Is(err, transport.ErrFenced) {
		e.log.Error("final commit failed: the next owner repeats what was finished since the last one",
			"group", e.config.Group, "error", err)
	}
	e.drop(going)
	e.observer.Revoked(len(going), false)
}

// Lost implements transport.Listener: somebody else owns the partitions already.
func (e *Engine) Lost(lost []transport.Partition) {
	going := e.going(lost)
	e.drop(going)
	e.cutOff(going)
	e.log.Warn("partitions lost: what ran may run again elsewhere", "group", e.config.Group, "partitions", len(lost))
	e.observer.Revoked(len(going), true)
}

// Skipped implements transport.Listener.
func (e *Engine) Skipped(id transport.Partition, from, to int64, reason error) {
	e.log.Error("offsets skipped: the log does not have them any more",
		"partition", id.String(), "from", from, "to", to, "reason", reason)
	e.observer.Skipped(id, "not in the log", max(to-from, 0))
	p := e.partition(id)
	if p == nil {
		return
	}
	if to < from {
		e.startOver(p, to)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tracker.extend(to)
	p.tracker.advance()
}

// startOver replaces a partition whose log starts over below what was read: the
// same offsets will mean other records. What still runs counts no more.
func (e *Engine) startOver(old *partition, at int64) {
	e.drop([]*partition{old})
	e.mu.Lock()
	defer e.mu.Unlock()
	e.partitions[old.id] = newPartition(e, &transport.Assignment{
		Partition: old.id, Epoch: old.epoch, Offset: at, LeaderEpoch: -1, TopicID: old.topic, ClusterID: old.cluster,
	})
}

func (e *Engine) going(ids []transport.Partition) (going []*partition) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		if p := e.partitions[id]; p != nil {
			going = append(going, p)
		}
	}
	return going
}

// drop ends partitions: what still runs of them counts no more.
func (e *Engine) drop(going []*partition) {
	for _, p := range going {
		p.mu.Lock()
		p.state = partitionGone
		for _, l := range p.lanes {
			if l.state >= laneParked {
				e.parking.remove(l)
				p.unpark(l)
			}
		}
		records, bytes := p.records, p.bytes
		p.records, p.bytes = 0, 0
		// Dropped items keep their fetch buffers out of the pool: a handler
		// that was cut off may still read them.
		p.lanes = nil
		e.pool.give(p, records, bytes)
		p.mu.Unlock()
		for s := range e.subs {
			s.forget(p)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range going {
		if e.partitions[p.id] == p {
			delete(e.partitions, p.id)
		}
	}
}

// cutOff ends the contexts of the attempts that still run.
func (e *Engine) cutOff(going []*partition) {
	n := 0
	for s := range e.subs {
		s.attempts(func(w *worker, c *attemptContext) {
			for _, p := range going {
				if w.partition == p {
					n++
					c.end(errDrained)
				}
			}
		})
	}
	if n > 0 {
		e.abandoned.Add(int64(n))
		e.observer.Abandoned(n)
	}
}

// lateCommit bounds the flush and the commit that come after the drain bound.
const lateCommit = time.Second

// letterPatience is how long a drain waits for dead letters that are being
// written. A dead-letter topic that is out of reach must not hold up a rebalance;
// what is not acknowledged by then is the next owner's.
const letterPatience = 5 * time.Second

// softDeadline leaves a tenth of the time for handlers to notice that their
// contexts have ended, and for the final commit.
func softDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(time.Until(deadline)/10, 2*time.Second)))
}

// ended waits for a signal of every partition, and tells whether all came
// before ctx ended.
func ended(ctx context.Context, going []*partition, signal func(*partition) <-chan struct{}) bool {
	for _, p := range going {
		select {
		case <-signal(p):
		case <-ctx.Done():
			return false
		}
	}
	return true
}
