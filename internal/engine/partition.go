package engine

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// partition is one assigned partition: from Assigned until Revoked or Lost.
type partition struct {
	id      transport.Partition
	engine  *Engine
	epoch   uint64 // of the assignment
	cluster string
	topic   transport.TopicID

	mu       sync.Mutex
	state    partitionState
	lanes    map[uint64]*lane
	free     *lane // finished lanes, linked by nothing but kept for the next key
	tracker  tracker
	finished []span // beyond the assignment's offset, by an earlier owner
	budgets  map[int64]parkedHead
	running  int           // attempts under way
	writing  int           // dead letters under way
	handled  chan struct{} // closed when draining and no attempt is under way
	drained  chan struct{} // closed when nothing is

	records, bytes           int64 // in lanes
	parkedKeys, parkedBytes  int64
	paused                   bool // as told to the consumer; owned by the flow loop
	leaderEpoch              int32
	lastStable               int64
	lastIntake, lastProgress time.Time
	committed                int64
	committedMetadata        string
	crowded                  bool  // its progress fills the commit's metadata
	checkAt                  int64 // window at which to look at that again
}

type partitionState int8

const (
	partitionActive   partitionState = iota
	partitionDraining                // nothing new starts
	partitionGone                    // nothing of it counts any more
)

// span is a range of offsets [from, to).
type span struct{ from, to int64 }

func newPartition(e *Engine, a *transport.Assignment) *partition {
	p := &partition{
		id: a.Partition, engine: e, epoch: a.Epoch, cluster: a.ClusterID, topic: a.TopicID,
		lanes: make(map[uint64]*lane), handled: make(chan struct{}), drained: make(chan struct{}),
		leaderEpoch: a.LeaderEpoch, lastStable: -1, lastProgress: time.Now(),
		committed: a.Offset, committedMetadata: a.Metadata,
	}
	p.tracker.start(a.Offset)
	done, err := decodeProgress(a.Metadata, a.ClusterID, a)
	switch {
	case err != nil:
		e.log.Warn("progress beyond the committed offset dropped: finished events may run again",
			"partition", p.id.String(), "offset", a.Offset, "error", err)
		e.observer.CommitFailed(p.id, err)
	case done != nil:
		p.finished = spansOf(done)
		p.budgets = make(map[int64]parkedHead, len(done.parked))
		for _, h := range done.parked {
			p.budgets[h.offset] = h
		}
	}
	return p
}

// spansOf lists the finished ranges, in order.
func spansOf(done *progress) (spans []span) {
	o := done.base
	for i, n := range done.runs {
		if i%2 == 1 {
			spans = append(spans, span{o, o + n})
		}
		o += n
	}
	return spans
}

// finishedBefore tells whether an earlier owner has finished offset. Offsets
// are asked in rising order. The caller holds mu.
func (p *partition) finishedBefore(offset int64) bool {
	for len(p.finished) > 0 && p.finished[0].to <= offset {
		p.finished = p.finished[1:]
	}
	return len(p.finished) > 0 && p.finished[0].from <= offset
}

var laneSeed = maphash.MakeSeed()

// laneKey says which lane a record belongs to. Keys are told apart by 64 bits of
// a seeded hash: two keys that share a lane by chance, once in 2⁶⁴ pairs, wait
// for each other and lose nothing.
func laneKey(order Order, r *transport.Record) uint64 {
	switch {
	case order == ByPartition:
		return 0
	case order == Unordered || r.Key == nil:
		return uint64(r.Offset)*0x9E3779B97F4A7C15 | 1 //nolint:gosec // a mix, not a number
	}
	return maphash.Bytes(laneSeed, r.Key) &^ 1
}

// lane returns the lane of key, and whether it is new. The caller holds mu.
func (p *partition) lane(key uint64) (l *lane, isNew bool) {
	if l = p.lanes[key]; l != nil {
		return l, false
	}
	if l = p.free; l != nil {
		p.free = nil
		*l = lane{key: key, partition: p, slot: -1}
	} else {
		l = &lane{key: key, partition: p, slot: -1}
	}
	p.lanes[key] = l
	return l, true
}

// finish ends an item that has been popped from its lane. The caller holds mu.
func (p *partition) finish(it *item) {
	before := p.tracker.base
	p.tracker.finish(it.record.Offset)
	if p.tracker.base != before {
		p.lastProgress = time.Now()
	}
	delete(p.budgets, it.record.Offset)
	p.records--
	p.bytes -= int64(it.size)
	p.engine.pool.give(p, 1, int64(it.size))
	if it.batch != nil {
		it.batch.drop()
	}
}

// rest is the end of a run: it tells whether the lane is to go on. A lane that
// is empty, or whose partition is going, is not. The caller holds mu.
func (p *partition) rest(l *lane) (goesOn bool) {
	p.running--
	return p.goOn(l)
}

func (p *partition) goOn(l *lane) bool {
	if p.state != partitionActive {
		p.noteEnd()
		return false
	}
	if l.head == nil {
		delete(p.lanes, l.key)
		p.free = l
		return false
	}
	l.state = laneReady
	return true
}

// noteEnd signals what a drain waits for. The caller holds mu.
func (p *partition) noteEnd() {
	if p.state != partitionDraining || p.running > 0 {
		return
	}
	closeOnce(p.handled)
	if p.writing == 0 {
		closeOnce(p.drained)
	}
}

// closeOnce closes a channel that only the holder of mu closes.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

func (p *partition) handlersEnded() <-chan struct{} { return p.handled }
func (p *partition) lettersEnded() <-chan struct{}  { return p.drained }

// park makes a lane wait, until wake if that is not zero. The caller holds mu.
func (p *partition) park(l *lane, state laneState, wake time.Time) {
	l.state, l.since = state, time.Now()
	l.own()
	l.parkedSize = l.bytes
	p.parkedKeys++
	p.parkedBytes += l.bytes
	p.engine.pool.park(1, l.bytes)
	if !wake.IsZero() {
		p.engine.parking.add(l, wake)
	}
}

// unpark ends a wait. The caller holds mu.
func (p *partition) unpark(l *lane) {
	p.parkedKeys--
	p.parkedBytes -= l.parkedSize
	p.engine.pool.park(-1, -l.parkedSize)
	l.parkedSize, l.state = 0, laneReady
}

// enqueue appends an item to its lane. It tells whether the lane is to be set
// off. The caller holds mu.
func (p *partition) enqueue(key uint64, it *item) (l *lane, isNew bool) {
	l, isNew = p.lane(key)
	l.push(it)
	if l.state >= laneParked {
		it.own()
		l.parkedSize += int64(it.size)
		p.parkedBytes += int64(it.size)
		p.engine.pool.park(0, int64(it.size))
	}
	return l, isNew
}
