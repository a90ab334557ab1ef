package engine

import (
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// item is one record on its way through a lane.
type item struct {
	record *transport.Record
	batch  *batch // whose memory record lies in; nil once it has its own
	next   *item
	sub    *Subscription
	fail   *failing // nil as long as nothing went wrong
	size   int32
}

// failing is what went wrong with an item so far.
type failing struct {
	attempts    int
	first, last time.Time
	openBefore  time.Duration // the breaker's OpenFor at first
	err         error
	reason      string
	stack       []byte
	end         End   // DeadEnd or Hold once that is decided
	writes      int   // attempts to write the dead letter
	refused     error // the last one's error
}

func (it *item) failure() *Failure {
	f := it.fail
	return &Failure{
		Record: it.record, Reason: f.reason, Err: f.err, Stack: f.stack,
		Attempts: f.attempts, First: f.first, Last: f.last, Refused: f.refused,
	}
}

// own copies the record out of the fetch buffer, so that a record that waits
// long does not keep a whole buffer alive.
func (it *item) own() {
	if it.batch == nil {
		return
	}
	b := it.batch
	r := *it.record
	memory := make([]byte, 0, it.record.Size())
	take := func(v []byte) []byte {
		if v == nil {
			return nil
		}
		start := len(memory)
		memory = append(memory, v...)
		return memory[start:len(memory):len(memory)]
	}
	r.Key, r.Value = take(r.Key), take(r.Value)
	r.Headers = make([]transport.Header, len(it.record.Headers))
	for i, h := range it.record.Headers {
		r.Headers[i] = transport.Header{Key: h.Key, Value: take(h.Value)}
	}
	it.record, it.batch = &r, nil
	b.drop()
}

// batch counts the items that still lie in a fetched batch's memory.
type batch struct {
	items   []item
	left    atomic.Int64
	release func()
}

func (b *batch) drop() {
	if b.left.Add(-1) == 0 && b.release != nil {
		b.release()
	}
}

// lane is the queue of one key of one partition. Its partition's lock guards it.
type lane struct {
	key        uint64
	partition  *partition
	head, tail *item
	state      laneState
	since      time.Time // when it parked
	bytes      int64     // of all its items
	parkedSize int64     // what the partition counts as parked for it
	wake       time.Time // in the parking heap
	slot       int       // its place there, −1 if not in it
}

type laneState int8

const (
	laneReady   laneState = iota // in a subscription's ready queue
	laneRunning                  // an attempt, or a dead letter's write, is under way
	laneParked                   // waits for a retry
	laneGated                    // waits for a breaker
	laneDying                    // waits to write a dead letter again
	laneHeld                     // waits for another owner
)

// String names the state for snapshots.
func (s laneState) String() string {
	return [...]string{"ready", "running", "retry", "breaker open", "awaiting dead letter", "held"}[s]
}

func (l *lane) push(it *item) {
	it.next = nil
	if l.head == nil {
		l.head, l.tail = it, it
	} else {
		l.tail.next, l.tail = it, it
	}
	l.bytes += int64(it.size)
}

func (l *lane) pop() *item {
	it := l.head
	l.head = it.next
	if l.head == nil {
		l.tail = nil
	}
	it.next = nil
	l.bytes -= int64(it.size)
	return it
}

// own copies everything that waits in the lane out of fetch buffers.
func (l *lane) own() {
	for it := l.head; it != nil; it = it.next {
		it.own()
	}
}
