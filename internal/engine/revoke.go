package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// Assigned implements transport.Listener.
// It waits for Start, since partitions need the consumer. Batches of a partition come only
// after it has returned.
func (e *Engine) Assigned(assigned []transport.Assignment) {
	<-e.started
	ids := make([]transport.Partition, len(assigned))
	for i := range assigned {
		ids[i] = assigned[i].Partition
	}
	if e.config.Moved != nil {
		e.config.Moved(context.Background(), ids, Assigned)
	}
	e.flowMu.Lock()
	e.mu.Lock()
	for i := range assigned {
		e.partitions[ids[i]] = newPartition(&e.shared, &assigned[i])
	}
	e.mu.Unlock()
	// An assignment starts unpaused, unless a pause of the one before came too
	// late: balance tells the consumer by name, after it has looked.
	e.consumer.Resume(ids...)
	e.flowMu.Unlock()
	e.observer.Assigned(len(assigned))
}

// Revoked implements transport.Listener: nothing new starts, what runs may
// finish until ctx ends, and then all that is finished is committed.
//
// Waiting and parked records are dropped at once, so a backoff never delays a
// rebalance; the next owner reads them again, their budgets in the metadata.
func (e *Engine) Revoked(ctx context.Context, revoked []transport.Partition) {
	<-e.started
	going := e.going(revoked)
	for _, p := range going {
		p.drain()
		e.forget(p)
	}
	for s := range e.subs {
		s.replaceStuck(time.Now())
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
	// Sealed before the flush: what ends during it would otherwise be committed although
	// what it published may not be acknowledged.
	e.seal(going)
	e.flush(ctx)
	late, cancel := lateIfEnded(ctx)
	defer cancel()
	if err := e.lastCommit(late, going); err != nil && (worthAgain(err) || late.Err() != nil) {
		e.log.Error("final commit failed: the next owner repeats what was finished since the last one",
			"group", e.config.Group, "error", err)
	}
	e.drop(going)
	e.moved(ctx, going, Revoked)
	e.observer.Revoked(len(going), false)
}

// Lost implements transport.Listener: somebody else owns the partitions already.
// Nothing is committed: it would be refused, or overwrite what the new owner has stored.
func (e *Engine) Lost(lost []transport.Partition) {
	<-e.started
	going := e.going(lost)
	e.abandon(going)
	e.log.Warn("partitions lost: what ran may run again elsewhere", "group", e.config.Group, "partitions", len(lost))
	e.moved(context.Background(), going, Lost)
	e.observer.Revoked(len(going), true)
}

// moved tells Config.Moved of partitions that went.
func (e *Engine) moved(ctx context.Context, gone []*partition, move Move) {
	if e.config.Moved == nil || len(gone) == 0 {
		return
	}
	ids := make([]transport.Partition, len(gone))
	for i, p := range gone {
		ids[i] = p.id
	}
	ctx, cancel := lateIfEnded(ctx)
	defer cancel()
	e.config.Moved(ctx, ids, move)
}

// ReasonUnreadable is Observer.Skipped's reason for what an operator has passed over
// because it can't be read, and that of the note in the dead-letter topic.
const ReasonUnreadable = "unreadable"

// Skipped implements transport.Listener.
func (e *Engine) Skipped(id transport.Partition, from, to int64, reason error) {
	<-e.started
	e.log.Error("offsets skipped, undelivered",
		"partition", id.String(), "from", from, "to", to, "reason", reason)
	label := "not in the log"
	if _, ok := errors.AsType[*transport.Unreadable](reason); ok {
		label = ReasonUnreadable
	}
	e.observer.Skipped(id, label, max(to-from, 0))
	p := e.partition(id)
	if p == nil {
		return
	}
	if to < from {
		// This may concern an earlier assignment; a new one starts there in
		// any case.
		if !p.isAt(to) {
			e.startOver(p, to)
		}
		return
	}
	// What was fetched below from may still be on its way from Poll to its
	// lanes: it is not skipped.
	p.mu.Lock()
	defer p.mu.Unlock()
	p.skipped = append(p.skipped, span{from, to})
	p.passed(p.tracker.end)
}

// startOver replaces a partition whose log starts over below what was read: the
// same offsets will mean other records. What still runs counts no more.
// flowMu keeps a pause of the old one from landing between.
func (e *Engine) startOver(old *partition, at int64) {
	e.flowMu.Lock()
	defer e.flowMu.Unlock()
	p := newPartition(&e.shared, &transport.Assignment{
		Partition: old.id, Epoch: old.epoch, Offset: at, LeaderEpoch: -1, TopicID: old.topic, ClusterID: old.cluster,
	})
	p.overstarts = true
	p.committed = -1      // what is stored is an offset of the old log
	p.paused = old.paused // the consumer's assignment is the same
	e.mu.Lock()
	e.partitions[old.id] = p
	e.mu.Unlock()
	e.abandon([]*partition{old})
	e.wakeFlow()
}

// isAt reports whether offset comes next and nothing below it is unfinished.
func (p *partition) isAt(offset int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tracker.base == offset && p.tracker.end == offset
}

// going returns those of the partitions that are here. Others were lost before, or
// started over.
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

// seal ends the time in which results of the partitions count.
func (e *Engine) seal(going []*partition) {
	n := 0
	for _, p := range going {
		n += p.seal()
	}
	if n > 0 {
		e.abandoned.Add(int64(n))
		e.observer.Abandoned(n)
	}
}

// abandon ends partitions without a commit.
// Sealed first: what the cut attempts return must not count any more.
func (e *Engine) abandon(going []*partition) {
	e.seal(going)
	e.cutOff(going)
	e.drop(going)
}

// drop ends partitions that are sealed.
func (e *Engine) drop(going []*partition) {
	for _, p := range going {
		p.drop()
		e.forget(p)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range going {
		// It may have been replaced by a new assignment, or by startOver.
		if e.partitions[p.id] == p {
			delete(e.partitions, p.id)
		}
	}
}

// forget takes what is ready of a partition that goes out of the queues.
// An attempt that is about to begin is stopped by the partition's state instead.
func (e *Engine) forget(p *partition) {
	for s := range e.subs {
		s.forget(p)
	}
}

// cutOff ends the contexts of the attempts that still run. An attempt that has
// begun is found: it shows itself under the lock under which it looked whether
// its partition is active.
func (e *Engine) cutOff(going []*partition) {
	for s := range e.subs {
		s.attempts(func(_ *worker, a *underway) {
			if slices.Contains(going, a.partition) {
				a.cutOff()
			}
		})
	}
}

// flush waits until what handlers published is acknowledged.
func (e *Engine) flush(ctx context.Context) {
	if e.config.Flush == nil {
		return
	}
	// Within a part of the time, so that a commit is possible after it.
	ctx, cancel := lateIfEnded(ctx)
	defer cancel()
	soft, cancel := softDeadline(ctx)
	defer cancel()
	soft, cancel = context.WithTimeout(soft, flushPatience)
	defer cancel()
	if err := e.config.Flush(soft); err != nil {
		e.log.Warn("flush before the final commit failed", "group", e.config.Group, "error", err)
	}
}

// lateIfEnded is ctx, or if the drain bound has passed a short time more: what
// was finished is committed all the same.
func lateIfEnded(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() == nil {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(context.WithoutCancel(ctx), lateCommit)
}

// lateCommit bounds the flush and the commit that come after the drain bound.
const lateCommit = time.Second

// flushPatience bounds the flush itself: an event that a broker does not acknowledge
// must not hold up a rebalance, in which nobody handles what moves.
const flushPatience = 5 * time.Second

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

// ended waits for a signal of every partition, and reports whether all came
// before ctx ended.
func ended(ctx context.Context, going []*partition, signal func(*partition) <-chan struct{}) bool {
	for _, p := range going {
		select {
		case <-signal(p):
		default:
			select {
			case <-signal(p):
			case <-ctx.Done():
				return false
			}
		}
	}
	return true
}
