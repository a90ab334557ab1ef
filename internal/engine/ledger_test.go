package engine

import (
	"fmt"
	"sync"
	"testing"

	"github.com/eventbus-go/eventbus/transport"
)

// place is the partition and offset of a record.
type place struct {
	partition int32
	offset    int64
}

func placeOf(r *transport.Record) place { return place{r.Partition, r.Offset} }

// key is a record's key in one partition; absent distinguishes no key from an empty
// one.
type key struct {
	partition int32
	key       string
	absent    bool
}

func keyOf(r *transport.Record) key {
	return key{r.Partition, string(r.Key), r.Key == nil}
}

// ledger checks the promises against what handlers do: no record is lost, and those
// of a key are handled in order, one at a time.
type ledger struct {
	t *testing.T
	// overlapping allows a record to run twice at once, if members are expelled and
	// don't know it yet.
	overlapping bool
	order       func(*transport.Record) key // what is handled one at a time

	mu       sync.Mutex
	expected int
	changed  chan struct{}
	running  map[key]place
	ended    map[place]int
	queues   map[key][]int64 // offsets in log order, without those at the front that have ended
	faults   []string
}

func newLedger(t *testing.T) *ledger {
	return &ledger{
		t: t, order: keyOf, changed: make(chan struct{}),
		running: make(map[key]place), ended: make(map[place]int), queues: make(map[key][]int64),
	}
}

// expect adds a record that was written, in log order.
func (l *ledger) expect(r *transport.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expected++
	k := l.order(r)
	l.queues[k] = append(l.queues[k], r.Offset)
}

func (l *ledger) fault(format string, args ...any) {
	if len(l.faults) < 10 {
		l.faults = append(l.faults, fmt.Sprintf(format, args...))
	}
}

// start records the start of an attempt.
func (l *ledger) start(r *transport.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k, at := l.order(r), placeOf(r)
	if k.absent {
		return
	}
	if other, busy := l.running[k]; busy && !l.overlapping {
		l.fault("%v of key %q starts while %v of it runs", at, k.key, other)
	}
	l.running[k] = at
	for _, offset := range l.queues[k] {
		if offset >= r.Offset {
			break
		}
		if l.ended[place{r.Partition, offset}] == 0 {
			l.fault("%v of key %q starts before %d has ended", at, k.key, offset)
		}
	}
}

// stop records the end of an attempt. ended reports whether it was the last.
func (l *ledger) stop(r *transport.Record, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.running, l.order(r))
	if ended {
		l.end(r)
	}
}

// bury records that a record ended as a dead letter.
func (l *ledger) bury(r *transport.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end(r)
}

func (l *ledger) end(r *transport.Record) {
	k, at := l.order(r), placeOf(r)
	l.ended[at]++
	for q := l.queues[k]; len(q) > 0 && l.ended[place{r.Partition, q[0]}] > 0; q = l.queues[k] {
		l.queues[k] = q[1:]
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// await waits until n records have ended, however often each did.
func (l *ledger) await(n int) {
	for {
		l.mu.Lock()
		ended, changed := len(l.ended), l.changed
		l.mu.Unlock()
		if ended >= n {
			return
		}
		<-changed
	}
}

// awaitAll waits until everything that was expected has ended.
func (l *ledger) awaitAll() {
	l.mu.Lock()
	n := l.expected
	l.mu.Unlock()
	l.await(n)
}

// check reports all faults, and returns how many records ended more than once.
func (l *ledger) check() (repeated int) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.faults {
		l.t.Error(f)
	}
	if len(l.ended) != l.expected {
		l.t.Errorf("%d records of %d have ended", len(l.ended), l.expected)
	}
	for _, n := range l.ended {
		repeated += n - 1
	}
	return repeated
}
