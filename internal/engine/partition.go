package engine

import (
	"maps"
	"math"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// partition is one assigned partition, from Assigned until Revoked or Lost. A partition that
// comes back is a new one: results of attempts that outlive the old one reach the old one,
// where they no longer count.
//
// mu guards the fields below it. id, shared, epoch, cluster and topic never change.
type partition struct {
	id      transport.Partition
	shared  *shared
	epoch   uint64 // of the assignment
	cluster string
	topic   transport.TopicID

	mu         sync.Mutex
	state      partitionState
	lanes      laneTable
	free       *lane // emptied lanes, for other keys
	begins     int64 // the assignment's offset
	tracker    tracker
	finished   []span           // beyond the assignment's offset, by an earlier owner
	budgets    map[int64]budget // of records tried by an earlier owner, until they are finished
	ownerEpoch int32            // the highest leader epoch of a record in these two; math.MaxInt32 if unknown
	unknown    []section        // of the metadata, from a later version: written back unchanged
	skipped    []span           // reported by Skipped before the batches in front of them came
	overstarts bool             // its log has started over, and nothing of the new one has come yet
	startsAt   int64            // where the new one does
	late       span             // a batch of the old one that was polled, and not taken in by then

	gathering map[*Subscription]*gathering // for batches that are not full; nil without a Gatherer

	running          int           // running attempts
	stuck            int           // those of them that ignore the end of their context
	cut              int           // attempts that a drain cut off and that have ended since
	writing          int           // dead letters being written
	handled, drained chan struct{} // closed when draining and no attempt, or no attempt and no dead letter, is left

	records, bytes                         int64 // in lanes
	parkedKeys, parkedRecords, parkedBytes int64
	heldKeys, heldRecords                  int64 // of these, for other members
	paused                                 bool  // as the consumer was told; changed under flowMu
	leaderEpoch                            int32
	lastStable                             int64
	lastIntake, lastProgress               time.Time
	committed                              int64 // −1 if unknown
	committedMetadata                      string
	crowding                               crowding
	uncarried                              int // number of failed records that the last commit did not carry
}

// The states of a partition, in order.
type partitionState int8

const (
	partitionActive   partitionState = iota
	partitionDraining                // nothing new starts
	partitionSealed                  // results of what still runs no longer count
	partitionGone                    // nothing is committed any more
)

// newPartition returns a partition for an assignment, with the progress of its last owner.
// Metadata that can't be read is dropped with a warning, which costs repetitions and loses
// nothing.
func newPartition(r *shared, a *transport.Assignment) *partition {
	p := &partition{
		id: a.Partition, shared: r, epoch: a.Epoch, cluster: a.ClusterID, topic: a.TopicID,
		handled: make(chan struct{}), drained: make(chan struct{}),
		begins: a.Offset, leaderEpoch: a.LeaderEpoch, lastStable: -1, lastProgress: time.Now(),
		committed: a.Offset, committedMetadata: a.Metadata, ownerEpoch: math.MaxInt32,
	}
	p.tracker.start(a.Offset)
	done, err := decodeProgress(a)
	switch {
	case err != nil:
		r.log.Warn("progress beyond the committed offset dropped: finished events may run again",
			"partition", p.id.String(), "offset", a.Offset, "error", err)
		r.observer.CommitFailed(p.id, err)
	// Nothing of it is applied yet: records are looked up when they are fetched.
	case done != nil:
		p.finished, p.unknown = done.spans(), done.unknown
		if done.epoch >= 0 {
			p.ownerEpoch = done.epoch
		}
		p.budgets = make(map[int64]budget, len(done.spent))
		for _, b := range done.spent {
			p.budgets[b.offset] = b
		}
	}
	return p
}

// finishedBefore reports whether an earlier owner has finished offset. Callers ask in rising
// order of offsets. The caller holds mu.
func (p *partition) finishedBefore(offset int64) bool {
	p.passFinished(offset)
	return len(p.finished) > 0 && p.finished[0].from <= offset
}

// replaced forgets what an earlier owner has done about records from an offset on. An unclean
// election has removed these records, and others have taken their offsets. The caller holds mu.
func (p *partition) replaced(from int64) {
	p.finished, p.ownerEpoch = nil, math.MaxInt32
	maps.DeleteFunc(p.budgets, func(offset int64, _ budget) bool { return offset >= from })
}

// passFinished forgets what an earlier owner finished below offset.
func (p *partition) passFinished(offset int64) {
	for len(p.finished) > 0 && p.finished[0].to <= offset {
		p.finished = p.finished[1:]
	}
}

// runs returns the alternating runs of what is finished beyond the watermark: by this owner,
// and behind that by the previous one, as far as it is not fetched yet. The caller holds mu.
func (p *partition) runs() (runs []int64) {
	o := p.tracker.base
	for n := range p.tracker.runs {
		runs = append(runs, n)
		o += n
	}
	for _, s := range p.finished {
		// Below the tracker's end the tracker knows better.
		if from := max(s.from, p.tracker.end); from < s.to {
			runs = append(runs, from-o, s.to-from)
			o = s.to
		}
	}
	return runs
}

// lane returns the lane of key, and whether it is new. The caller holds mu.
func (p *partition) lane(key uint64) (l *lane, isNew bool) {
	if l = p.lanes.get(key); l != nil {
		return l, false
	}
	// A partition's keys come and go; reusing a lane costs no allocation.
	if l = p.free; l != nil {
		p.free = l.next
		*l = lane{key: key, partition: p}
	} else {
		l = &lane{key: key, partition: p}
	}
	p.lanes.add(l)
	return l, true
}

// enqueue appends an item to its lane. isNew reports whether the lane must be set off. The
// caller holds mu.
func (p *partition) enqueue(key uint64, it *item) (l *lane, isNew bool) {
	l, isNew = p.lane(key)
	// A waiting lane keeps no fetched batch alive; see Memory in the package comment.
	if l.state >= laneParked {
		it = it.own()
		p.countParked(0, 1, int64(it.size))
		if l.awaits() {
			p.countHeld(0, 1, int64(it.size))
		}
	}
	l.push(it)
	return l, isNew
}

// finish finishes an item that was popped from its lane. The caller holds mu.
func (p *partition) finish(it *item, now time.Time) {
	offset, size := it.record.Offset, int64(it.size)
	before := p.tracker.base
	p.tracker.finish(offset)
	// Only the watermark is progress: records finished behind a stuck one don't hide it.
	if p.tracker.base != before {
		p.lastProgress = now
	}
	if len(p.budgets) > 0 {
		delete(p.budgets, offset)
	}
	// After the last use of the record, whose memory may be released here.
	it.leave()
	p.records--
	p.bytes -= size
	p.give(1, size)
	// Not at every record: measuring walks all runs.
	if p.crowding.full && p.records <= p.crowding.easeAt {
		p.ease()
	}
}

// give returns to the pool what the partition no longer holds. The caller holds mu.
func (p *partition) give(records, bytes int64) {
	pool := &p.shared.pool
	// Once, when it falls to where mayResume is true whatever the pool holds.
	pool.give(records, bytes, p.paused && p.records == int64(pool.bounds.MinRecords/2))
}

// measure computes how full the commit's metadata may get. The caller holds mu.
func (p *partition) measure() { p.crowding.measure(&p.tracker, p.runs(), p.records) }

// ease measures a crowded partition again, after half of what it held has ended. The caller
// holds mu.
func (p *partition) ease() {
	if p.measure(); !p.crowding.full {
		p.shared.pool.changed()
	}
}

// goOn reports whether a lane whose head has ended continues. It doesn't if it is empty or its
// partition is going. The caller holds mu.
func (p *partition) goOn(l *lane) bool {
	l.since = time.Time{}
	switch {
	// The lane keeps its items; drop empties it.
	case p.state != partitionActive:
		return false
	case l.head == nil:
		p.lanes.remove(l)
		l.next, p.free = p.free, l
		return false
	}
	l.state = laneReady
	return true
}

// drain lets nothing new start.
func (p *partition) drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Never back: a partition that was started over is sealed already.
	p.state = max(p.state, partitionDraining)
	p.noteEnd()
}

// attemptEnded removes a worker's attempt from the partition's counts. The caller holds mu.
func (p *partition) attemptEnded(w *worker) {
	p.running--
	if w.isStuck {
		w.isStuck = false
		p.stuck--
	}
}

// noteEnd signals what a drain waits for. A drain does not wait for attempts known to be stuck:
// they have had their time, and a rebalance that waited for one would stop every partition that
// moves. The caller holds mu.
func (p *partition) noteEnd() {
	if p.state != partitionDraining || p.running > p.stuck {
		return
	}
	closeOnce(p.handled)
	// After the attempts, since one that ends may still decide on a dead letter.
	if p.writing == 0 {
		closeOnce(p.drained)
	}
}

// closeOnce closes a channel that is only closed by holders of mu.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// handlersEnded and lettersEnded return what a drain waits for, in this order.
func (p *partition) handlersEnded() <-chan struct{} { return p.handled }
func (p *partition) lettersEnded() <-chan struct{}  { return p.drained }

// seal ends the time in which results count, and returns the number of abandoned attempts.
func (p *partition) seal() (abandoned int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state >= partitionSealed {
		return 0
	}
	p.state = partitionSealed
	// Both those that still run and those that a drain has ended: neither is finished.
	return p.running + p.cut
}

// drop empties the partition, which was sealed and has made its commits. Records left in its
// lanes are not committed; the next owner reads them.
func (p *partition) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = partitionGone
	for l := range p.lanes.all() {
		if l.state >= laneParked {
			p.unpark(l)
		}
		// A handler that was cut off may still be reading its records. In that case no fetched
		// batch of the partition is released.
		for it := l.head; it != nil && p.running == 0; {
			next := it.next
			it.leave()
			it = next
		}
	}
	// The pool belongs to the group, and remains.
	records, bytes := p.records, p.bytes
	p.records, p.bytes = 0, 0
	p.lanes, p.free = laneTable{}, nil
	for _, g := range p.gathering {
		if g.timer != nil {
			g.timer.Stop()
		}
	}
	p.gathering = nil
	p.give(records, bytes)
}

// copyOut copies old records out of fetched batches that are mostly finished. It runs at an
// interval, since nothing notices when a batch becomes sparse.
func (p *partition) copyOut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.lanes.all() {
		l.own(false)
	}
}
