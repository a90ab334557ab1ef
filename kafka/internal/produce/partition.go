package produce

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/transport"
)

// Loads, for choosing the partition of records without a key.
const (
	loadNone     int32 = iota // idle
	loadSome                  // has work in flight
	loadRetrying              // its head failed and will be sent again
)

// partition is one partition that a producer writes to.
type partition struct {
	producer *Producer
	topic    *producerTopic
	index    int32
	leader   atomic.Int32 // last known; −1 if there was none
	// load is one of the loads. advance reads it without mu.
	load atomic.Int32

	mu sync.Mutex
	// busy is set while the partition has an owner: a sender with the partition in its list,
	// one of its workers, or the waiting ones. The goroutine that sets it passes the partition
	// on, and the last owner clears it.
	busy   bool
	closed bool              // accepts nothing more
	queue  []*partitionBatch // closed batches, before open
	open   *partitionBatch   // nil, or has a record
	usual  int               // size of the batch begun last
	// accepted and completed count records. A flush waits until completed reaches what accepted
	// was.
	accepted, completed int64
	flushes             []partitionFlush
	// more is signalled when a batch is opened that could be sent behind those in flight; nil
	// if nobody would send it.
	more chan<- struct{}

	// The fields below belong to the owner while the partition is busy.

	// head is the batch being sent, or to be sent again.
	head     *partitionBatch
	session  batch.ProducerSession // id −1: none yet
	sequence int32                 // of head
	// behind are the batches sent on the same connection after head and before its answer.
	// known allows that: it is set if the leader has the session in its log.
	behind []*partitionBatch
	known  bool
	// failed acts on the answer to head, once what was sent behind it is answered too.
	failed func()
	// leaderless is set if the leader must be looked up before the next attempt.
	leaderless bool
	// missing is since when, according to the cluster, the topic or partition has not existed;
	// zero if it exists.
	missing  time.Time
	searches int       // for a leader, since the last one was found
	cause    error     // of the last failed attempt of head
	due      time.Time // when a waiting partition is sent again
}

type partitionFlush struct {
	// The flush is complete for the partition once completed has reached target.
	target int64
	flush  *flush
}

// newPartition returns an idle partition without a session. It gets one with its first batch,
// so that a producer that never writes asks for no id.
func newPartition(p *Producer, t *producerTopic, index, leader int32) *partition {
	part := &partition{producer: p, topic: t, index: index, session: batch.ProducerSession{ID: -1}}
	part.leader.Store(leader)
	return part
}

// name returns the partition's name in completions and errors.
func (p *partition) name() transport.Partition {
	return transport.Partition{Topic: p.topic.name, Partition: p.index}
}

// add encodes a record into the open batch, and wakes the partition if it is idle.
func (p *partition) add(r *transport.Record, content int, timestamp int64, held int, done transport.Completion) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		p.producer.credit.release(int64(held), 1)
		return errProducerClosed
	}
	// The limit may have been reduced since the batch was opened; close the batch now.
	full := p.open != nil && !p.open.fits(content, int(p.topic.limit.Load()))
	if full {
		p.queue = append(p.queue, p.open)
		p.open = nil
	}
	opened := p.open == nil
	var now time.Time
	if opened {
		now = time.Now()
		p.open = newBatch(now.Add(p.producer.cfg.DeliveryTimeout))
		p.open.usual = p.usual
	}
	p.open.add(r, content, timestamp, held, done)
	p.accepted++
	wake := p.wakeLocked()
	if opened {
		p.callLocked()
	}
	p.mu.Unlock()
	if full {
		p.topic.advance(p)
	}
	if wake {
		p.offer(false)
	}
	if opened {
		p.producer.lookAgain(p.topic, now)
	}
	return nil
}

// addAlone queues a batch that accepts no more records. It closes the open batch, whose records
// were accepted earlier and must precede it in the log.
func (p *partition) addAlone(b *partitionBatch) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return errProducerClosed
	}
	if p.open != nil {
		p.queue = append(p.queue, p.open)
		p.open = nil
	}
	p.queue = append(p.queue, b)
	p.accepted++
	wake := p.wakeLocked()
	p.callLocked()
	p.mu.Unlock()
	if wake {
		p.offer(false)
	}
	return nil
}

// wakeLocked marks the partition busy and reports whether it was idle. If so, the caller offers it.
func (p *partition) wakeLocked() bool {
	if p.busy {
		return false
	}
	p.busy = true
	p.load.Store(loadSome)
	return true
}

// offer passes a busy partition on to its leader's sender, or to the waiting ones if there is
// no leader. much is set if it has at least bulk bytes to send.
func (p *partition) offer(much bool) {
	if leader := p.leader.Load(); leader >= 0 && !p.leaderless {
		p.producer.sender(leader).offer(p, much)
		return
	}
	p.leaderless = true
	p.wait(time.Now())
}

// close stops accepting records. Accepted ones are still sent.
func (p *partition) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
}

// flush makes f wait for the records accepted so far, not for later ones: otherwise a flush of
// a busy producer would never end.
func (p *partition) flush(f *flush) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.accepted > p.completed {
		f.left.Add(1)
		p.flushes = append(p.flushes, partitionFlush{p.accepted, f})
	}
}

// next returns the size of the batch that begin would return, 0 if there is none. The open
// batch may grow until then, so a request can exceed its bound by one batch.
func (p *partition) next() int {
	if p.head != nil {
		return len(p.head.wire())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case len(p.queue) > 0:
		return p.queue[0].size()
	case p.open != nil:
		return p.open.size()
	}
	return 0
}

// begin makes the oldest batch the head, closing it if it is the open one. If there is none,
// head stays nil.
func (p *partition) begin() {
	if p.head != nil {
		return
	}
	p.mu.Lock()
	if len(p.queue) > 0 {
		p.head = p.queue[0]
		p.queue = slices.Delete(p.queue, 0, 1)
	} else {
		p.head, p.open = p.open, nil
	}
	if p.head != nil {
		p.usual = p.head.size()
	}
	p.mu.Unlock()
	p.topic.advance(p)
}

// stamp stamps a batch for sending, under the partition's session or, if it has none, under a
// new one.
func (p *partition) stamp(b *partitionBatch, fresh batch.ProducerSession) {
	if p.session.ID < 0 {
		p.session, p.sequence = fresh, 0
	}
	sequence := p.sequence
	if b != p.head {
		before := p.head
		if n := len(p.behind); n > 1 {
			before = p.behind[n-2]
		}
		sequence = batch.NextSequence(before.sequence, len(before.records))
	}
	b.stamp(&p.producer.compression, p.session, sequence)
}

// finish ends the head with its records acknowledged. base is the first record's offset, −1 if
// the broker does not say; appended is the log's own time for them in milliseconds, or −1.
func (p *partition) finish(base, appended int64) {
	b := p.head
	// Count from the sequence with which the batch was sent, which the log has now.
	p.sequence = batch.NextSequence(b.sequence, len(b.records))
	p.known = b.session == p.session
	p.producer.credit.release(b.held, len(b.records))
	pos := transport.Position{Partition: p.name(), Offset: -1}
	for i := range b.records {
		r := &b.records[i]
		if r.done == nil {
			continue
		}
		if base >= 0 {
			pos.Offset = base + int64(i)
		}
		pos.Time = time.UnixMilli(r.timestamp)
		if appended >= 0 {
			pos.Time = time.UnixMilli(appended)
		}
		r.done.Done(pos, nil)
	}
	p.missing = time.Time{}
	if b.doubted {
		p.notAppended()
	}
	p.conclude(len(b.records) + b.refused)
	b.recycle()
}

// conclude drops the head, whose records all have an outcome, and passes the partition on,
// unless more of it is in flight.
func (p *partition) conclude(completed int) {
	p.head, p.cause = nil, nil
	p.mu.Lock()
	p.completeLocked(completed)
	if len(p.behind) > 0 {
		p.mu.Unlock()
		p.head = p.behind[0]
		p.behind = slices.Delete(p.behind, 0, 1)
		return
	}
	p.more = nil
	more := len(p.queue) > 0 || p.open != nil
	much := len(p.queue) > 0 || more && p.open.size() >= bulk
	// Cleared under mu, under which add checks it: a record is either seen here or wakes the
	// partition itself.
	p.busy = more
	if more {
		p.load.Store(loadSome)
	} else {
		p.load.Store(loadNone)
	}
	p.mu.Unlock()
	if more {
		p.offer(much)
	}
}

// completeLocked counts n more records as completed, and completes the flushes whose targets
// are reached. The caller holds mu.
func (p *partition) completeLocked(n int) {
	p.completed += int64(n)
	for len(p.flushes) > 0 && p.flushes[0].target <= p.completed {
		p.flushes[0].flush.complete()
		p.flushes = slices.Delete(p.flushes, 0, 1)
	}
}
