package engine

import (
	"context"
	"errors"
	"slices"
	"sort"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// Assigned implements transport.Listener. It waits for Start, since partitions need the
// consumer. Batches of a partition come only after it has returned.
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
	// An assignment starts unpaused, unless a pause of the previous one came too late: balance
	// names partitions to the consumer after it has checked them.
	e.consumer.Resume(ids...)
	e.flowMu.Unlock()
	e.observer.Assigned(len(assigned))
}

// Revoked implements transport.Listener. Nothing new starts, running attempts may finish until
// ctx ends, and then everything finished is committed.
//
// Waiting and parked records are dropped at once, so a backoff never delays a rebalance. The
// next owner reads them again, with their budgets from the metadata.
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
	// Seal before the flush: what ends during the flush would otherwise be committed although
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

// Lost implements transport.Listener: somebody else already owns the partitions. Nothing is
// committed; a commit would be refused, or overwrite what the new owner has stored.
func (e *Engine) Lost(lost []transport.Partition) {
	<-e.started
	going := e.going(lost)
	e.abandon(going)
	e.log.Warn("partitions lost: what ran may run again elsewhere", "group", e.config.Group, "partitions", len(lost))
	e.moved(context.Background(), going, Lost)
	e.observer.Revoked(len(going), true)
}

// moved calls Config.Moved for partitions that have gone.
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

// ReasonUnreadable is the reason passed to Observer.Skipped when an operator passes a part of
// the log that can't be read, and the reason of the note in the dead-letter topic.
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
		// This may concern an earlier assignment; a new one starts there in any case.
		if !p.beginsAt(to) {
			e.startOver(p, from, to)
		}
		return
	}
	// Records fetched from below from may still be on their way from Poll to their lanes; they
	// are not skipped.
	p.mu.Lock()
	defer p.mu.Unlock()
	p.skipped = append(p.skipped, span{from, to})
	p.passed(p.tracker.end)
}

// startOver replaces a partition whose log starts over below what was read: from there on the
// same offsets will mean other records. Results of what still runs no longer count. Records
// below, which were delivered and are not finished, are handled again: they will not be
// delivered again. from is the end of what was polled. flowMu keeps a pause of the old partition
// from landing in between.
func (e *Engine) startOver(old *partition, from, at int64) {
	e.flowMu.Lock()
	defer e.flowMu.Unlock()
	p := newPartition(&e.shared, &transport.Assignment{
		Partition: old.id, Epoch: old.epoch, Offset: at, LeaderEpoch: -1, TopicID: old.topic, ClusterID: old.cluster,
	})
	p.overstarts, p.startsAt = true, at
	p.committed = -1      // the stored offset is of the old log
	p.paused = old.paused // the consumer's assignment is the same
	// Sealed first: what ends from here on is handled again.
	e.seal([]*partition{old})
	lanes := p.inherit(old, from, at)
	e.mu.Lock()
	e.partitions[old.id] = p
	e.mu.Unlock()
	e.abandon([]*partition{old})
	p.mu.Lock()
	// A drain that could not wait may have dropped it again.
	if p.state == partitionActive {
		for _, l := range lanes {
			p.setOff(l)
		}
	}
	p.mu.Unlock()
	e.wakeFlow()
}

// inherit adds copies of old's records below an offset, at which p begins, to p, and returns
// their lanes. polled is the end of what was polled of old. Nobody else knows p yet; old is
// sealed, but handlers may still read its records.
func (p *partition) inherit(old *partition, polled, below int64) (lanes []*lane) {
	var items []*item
	keys := make(map[*item]uint64)
	old.mu.Lock()
	for l := range old.lanes.all() {
		for it := l.head; it != nil && it.record.Offset < below; it = it.next {
			kept := it.copied()
			if it.retry != nil {
				f := *it.retry
				kept.retry = &f
			}
			// The wait goes on.
			if it == l.head && l.state == laneParked {
				kept.retry.notBefore = l.wait.at
			}
			items, keys[kept] = append(items, kept), l.key
		}
	}
	p.late = span{old.tracker.end, polled}
	old.mu.Unlock()
	sort.Slice(items, func(i, k int) bool { return items[i].record.Offset < items[k].record.Offset })
	p.mu.Lock()
	defer p.mu.Unlock()
	end := min(below, p.late.from)
	p.tracker.start(end)
	if len(items) > 0 {
		p.tracker.start(items[0].record.Offset)
	}
	for _, it := range items {
		p.tracker.open(it.record.Offset)
		if l, isNew := p.enqueue(keys[it], it); isNew {
			lanes = append(lanes, l)
		}
		p.records++
		p.bytes += int64(it.size)
	}
	p.tracker.extend(end)
	p.shared.pool.take(p.records, p.bytes)
	return lanes
}

// beginsAt reports whether the assignment starts at offset, and nothing of it was taken in.
func (p *partition) beginsAt(offset int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.begins == offset && p.tracker.end == offset
}

// going returns the partitions that are here. Others were lost before, or started over.
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

// abandon ends partitions without a commit. It seals them first: results of attempts that are
// cut off must not count.
func (e *Engine) abandon(going []*partition) {
	e.seal(going)
	e.cutOff(going)
	e.drop(going)
}

// drop ends sealed partitions.
func (e *Engine) drop(going []*partition) {
	for _, p := range going {
		p.drop()
		e.forget(p)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range going {
		// A new assignment or startOver may have replaced it.
		if e.partitions[p.id] == p {
			delete(e.partitions, p.id)
		}
	}
}

// forget removes ready lanes of a partition that goes from the queues. An attempt about to
// begin is stopped by the partition's state.
func (e *Engine) forget(p *partition) {
	for s := range e.subs {
		s.forget(p)
	}
}

// cutOff ends the contexts of running attempts. It finds every attempt that has begun: an
// attempt shows itself under the lock under which it checked that its partition is active.
func (e *Engine) cutOff(going []*partition) {
	for s := range e.subs {
		s.attempts(func(_ *worker, a *underway) {
			if slices.Contains(going, a.partition) {
				a.cutOff()
			}
		})
	}
}

// flush waits until everything that handlers published is acknowledged.
func (e *Engine) flush(ctx context.Context) {
	if e.config.Flush == nil {
		return
	}
	// Within part of the time, so that there is time left to commit.
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

// lateIfEnded returns ctx or, if it has ended, a context with a little more time: what was
// finished is committed all the same.
func lateIfEnded(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() == nil {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(context.WithoutCancel(ctx), lateCommit)
}

// lateCommit bounds the flush and the commit after a drain has run out of time.
const lateCommit = time.Second

// flushPatience bounds the flush: an event that a broker does not acknowledge must not hold up
// a rebalance, during which nobody handles the partitions that move.
const flushPatience = 5 * time.Second

// letterPatience is how long a drain waits for dead letters being written. A dead-letter topic
// that is out of reach must not hold up a rebalance; letters not acknowledged by then are left
// to the next owner.
const letterPatience = 5 * time.Second

// softDeadline leaves a tenth of the time for handlers to notice that their contexts have
// ended, and for the final commit.
func softDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(time.Until(deadline)/10, 2*time.Second)))
}

// ended waits for a signal of every partition, and reports whether all came before ctx ended.
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
