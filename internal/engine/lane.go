package engine

import (
	"hash/maphash"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// lane is the queue of one key of one partition. Its partition's lock guards it. The first
// taken items belong to the current attempt and don't move. While a lane has items, it is in
// its partition's table.
type lane struct {
	key        uint64
	partition  *partition
	head, tail *item
	state      laneState
	taken      int       // items of the current attempt, from head on
	records    int64     // number of items
	bytes      int64     // size of the items
	since      time.Time // when its head began to wait; zero if it does not
	wait       *wait     // while it is parked until a time or waits at a gate
	next       *lane     // in its chain of the partition's table, or in the list of unused lanes
}

// wait is one wait of a lane, in the parking heap or at a gate. Lanes are reused for other
// keys, so a caller that ends a wait compares identity to see whether the lane is still in it.
// The three flags order lanes at a gate; see gate.next.
type wait struct {
	stay
	lane *lane
	key  uint64 // by which the breaker knows a lane at its gate

	fresh  bool // its head was never tried
	tried  bool // its head failed before, and has not probed too often in a row
	probed bool // and it has probed in one of the last rounds
}

// laneState is what a lane waits for, or what is happening to its head.
type laneState int8

// From laneParked on, a lane counts as parked.
const (
	laneReady     laneState = iota // in a subscription's ready queue, or about to be
	laneRunning                    // an attempt is running
	laneParked                     // waits for a retry
	laneGated                      // waits for a breaker
	laneWriting                    // its dead letter is being written
	laneRewriting                  // waits to write it again
	laneHeld                       // waits for another owner
)

// String returns the state's name for snapshots. To an operator, waiting to write a letter and
// writing it are the same.
func (s laneState) String() string {
	return [...]string{
		"ready", "running", "retry", "breaker open", "awaiting dead letter", "awaiting dead letter", "held",
	}[s]
}

// push appends an item. The counts include items of an attempt.
func (l *lane) push(it *item) {
	if l.head == nil {
		l.head, l.tail = it, it
	} else {
		l.tail.next, l.tail = it, it
	}
	l.records++
	l.bytes += int64(it.size)
}

// pushFront puts a popped item back at the head.
func (l *lane) pushFront(it *item) {
	it.next = l.head
	l.head = it
	if l.tail == nil {
		l.tail = it
	}
	l.records++
	l.bytes += int64(it.size)
}

// pop removes the head, which must exist.
func (l *lane) pop() *item {
	it := l.head
	l.head = it.next
	if l.head == nil {
		l.tail = nil
	}
	it.next = nil
	l.records--
	l.bytes -= int64(it.size)
	return it
}

// own copies waiting items of the lane out of fetched batches: all of them, or only those that
// keep a sparse batch alive. Items of the running attempt stay where they are, since a handler
// may be reading them. After own with all, nobody overwrites waiting items any more, even if the
// partition goes. The copy replaces the item itself, so the chain and its tail are linked again.
func (l *lane) own(all bool) {
	n := 0
	for at := &l.head; *at != nil; at = &(*at).next {
		it := *at
		switch {
		case n < l.taken || it.batch == nil:
		case all && it.batch.isMostly(it):
			it.batch.keep()
		case all || it.batch.sparse():
			*at = it.own()
		}
		l.tail = *at
		n++
	}
}

// keySeed differs between processes, so nobody can choose keys that share a lane.
var keySeed = maphash.MakeSeed()

// laneKey returns the key of a record's lane. Keys are distinguished by 64 bits of a seeded
// hash: two keys that share a lane by chance, one pair in 2⁶⁴, wait for each other and lose
// nothing.
func laneKey(order Order, r *transport.Record) uint64 {
	switch order {
	case ByPartition:
		return 0
	case Unordered:
		return mixed(r.Offset)
	}
	return keyHash(r)
}

// keyHash returns the hash of the key, or of the offset if there is no key. Records without a
// key have no order, so each has its own lane.
func keyHash(r *transport.Record) uint64 {
	if r.Key == nil {
		return mixed(r.Offset)
	}
	// Even, as the offsets' hashes are odd: a key never waits for a record without one.
	return maphash.Bytes(keySeed, r.Key) &^ 1
}

// mixed spreads offsets over the odd numbers, which are not a key's hash.
func mixed(offset int64) uint64 {
	return uint64(offset)*0x9E3779B97F4A7C15<<1 | 1
}
