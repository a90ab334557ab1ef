package engine

import (
	"strings"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// item is one record in a lane. Its partition's lock guards it.
type item struct {
	record *transport.Record
	batch  *batch // whose memory holds record; nil if record has its own
	next   *item
	sub    *Subscription
	retry  *retryState // nil until an attempt has failed or the route has decided the end
	size   int32
}

// own returns the item with its record copied out of the fetched batch, so that a record that
// waits long does not keep a whole batch alive. The old item is then empty, and the caller puts
// the new one in its place.
func (it *item) own() *item {
	owned := it.copied()
	owned.next = it.next
	it.leave()
	return owned
}

// copied returns a copy of the item and its record. Key and values share one allocation.
func (it *item) copied() *item {
	r := *it.record
	memory := make([]byte, 0, r.Size())
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
	names := headerNames(it.record.Headers)
	for i, h := range it.record.Headers {
		r.Headers[i] = transport.Header{Key: names[:len(h.Key)], Value: take(h.Value)}
		names = names[len(h.Key):]
	}
	return &item{record: &r, sub: it.sub, retry: it.retry, size: it.size}
}

// headerNames returns a copy of the headers' keys, joined. A transport may decode keys in
// place, so they too are borrowed until the batch is released.
func headerNames(headers []transport.Header) string {
	var names strings.Builder
	for i := range headers {
		names.WriteString(headers[i].Key)
	}
	return names.String()
}

// leave removes the item from its batch, permanently. Its record must not be used any more: the
// transport may overwrite the memory.
func (it *item) leave() {
	b, size := it.batch, it.size
	*it = item{}
	if b != nil {
		b.drop(int64(size))
	}
}

// batch counts what is still needed of a fetched batch's memory. While the batch is being taken
// in, held is one higher. The partition's lock guards it.
type batch struct {
	items   []item
	held    int   // number of items in use
	size    int64 // of all its records, including skipped ones
	left    int64 // of the items in use
	release func()
}

// batchPool has large batches with no items in use.
var batchPool = sync.Pool{New: func() any { return new(batch) }}

// pooledItems is the number of items that makes a batch large. Smaller ones are not reused: one
// item in long use would keep the memory of hundreds.
const pooledItems = 64

// newBatch returns a batch with room for n items. The caller holds it until all are counted.
func newBatch(n int, release func()) *batch {
	if n < pooledItems {
		return &batch{items: make([]item, n), release: release, held: 1}
	}
	b := batchPool.Get().(*batch)
	if cap(b.items) < n {
		b.items = make([]item, n)
	}
	*b = batch{items: b.items[:n], release: release, held: 1}
	return b
}

// drop ends one use of size bytes.
func (b *batch) drop(size int64) {
	b.held--
	b.left -= size
	if b.held > 0 {
		return
	}
	// A transport whose records belong to the caller has nothing to release.
	if b.release != nil {
		b.release()
	}
	*b = batch{items: b.items}
	if cap(b.items) >= pooledItems {
		batchPool.Put(b)
	}
}

// keep leaves the batch's memory to the garbage collector. A waiting item is read without the
// partition's lock, by observers and by the writer of its dead letter.
func (b *batch) keep() { b.release = nil }

// largeItem is the size in bytes from which on an item is not copied for the sake of the rest of
// its batch, if the rest is smaller.
const largeItem = 1 << 20

// isMostly reports whether one large item takes most of the batch's memory. A copy would take
// as much again.
func (b *batch) isMostly(it *item) bool {
	return it.size >= largeItem && int64(it.size) >= b.size/2
}

// sparse reports whether less than half of the batch's memory is still needed.
func (b *batch) sparse() bool { return b.left < b.size/2 }

// retryState is the history of an item's failed attempts. An item with one runs alone, even in
// a batch handler: its errors must be distinguished from those of the rest of the batch. The
// lock of the item's partition guards it.
type retryState struct {
	attempts    int           // failed attempts that count
	first, last time.Time     // failures; first less the time that earlier owners used
	openBefore  time.Duration // the breaker's OpenFor at first
	stood       time.Duration // waits since first that did not count
	err         error         // of the last attempt, or why the end was decided
	reason      string        // of the dead letter
	stack       []byte        // of a panic
	end         End           // DeadEnd, Hold or await once decided
	then        End           // what replaces await once nobody handles the type
	foreign     *foreignType  // for await
	spent       *budget       // by an earlier owner; of a held item
	notBefore   time.Time     // set by a batch's handler with RetryAfter; zero if not
	writes      int           // attempts to write the dead letter
	refused     error         // of the last attempt to write it
	counted     bool          // the breaker was told of a failure, the first time at mark
	mark        resilience.Mark
	probes      int // consecutive failed probes
}

// stoodStill returns for how long since the first failure the clocks have stood still: while
// the breaker was open, and in waits that don't count.
func (f *retryState) stoodStill(b *resilience.Breaker) time.Duration {
	if b == nil {
		return f.stood
	}
	return f.stood + b.OpenFor() - f.openBefore
}

// elapsed returns how much of the policy's time is used. Only time in which the record could be
// tried counts: not while its breaker was open, and not while no member owned the partition.
func (f *retryState) elapsed(b *resilience.Breaker, now time.Time) time.Duration {
	if f.first.IsZero() {
		return 0
	}
	return max(now.Sub(f.first)-f.stoodStill(b), 0)
}

// breaker returns the item's breaker, nil if no subscription handles it because its route has
// decided the end.
func (it *item) breaker() *resilience.Breaker {
	if it.sub == nil {
		return nil
	}
	return it.sub.Breaker
}

// failure describes the item to observers and for the dead letter. It borrows the record, so
// the caller keeps that in its lane meanwhile.
func (it *item) failure() *Failure {
	f := it.retry
	return &Failure{
		Record: it.record, Reason: f.reason, Err: f.err, Stack: f.stack,
		Attempts: f.attempts, First: f.first, Last: f.last, Refused: f.refused,
	}
}
