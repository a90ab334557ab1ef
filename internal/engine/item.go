package engine

import (
	"strings"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// item is one record on its way through a lane. Its partition's lock guards it.
type item struct {
	record *transport.Record
	batch  *batch // whose memory record lies in; nil once it has its own
	next   *item
	sub    *Subscription
	retry  *retryState // nil until an attempt failed or the route decided the end
	size   int32
}

// own returns the item with its record copied out of the fetched batch, so that
// one that waits long does not keep a whole batch alive.
// Key and values share one allocation. The old item is empty afterwards: the caller
// puts the new one in its place.
func (it *item) own() *item {
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
	owned := &item{record: &r, next: it.next, sub: it.sub, retry: it.retry, size: it.size}
	it.leave()
	return owned
}

// headerNames returns a copy of the headers' keys, one after another: a transport may
// decode them in place, so they too are borrowed until the batch is released.
func headerNames(headers []transport.Header) string {
	var names strings.Builder
	for i := range headers {
		names.WriteString(headers[i].Key)
	}
	return names.String()
}

// leave takes the item out of its batch, for good.
// Nothing may use the record after it: the transport may overwrite its memory.
func (it *item) leave() {
	b, size := it.batch, it.size
	*it = item{}
	if b != nil {
		b.drop(int64(size))
	}
}

// batch counts what is still needed of a fetched batch's memory. The
// partition's lock guards it.
// held counts one more while the batch is being taken in.
type batch struct {
	items   []item
	held    int   // how many of items
	size    int64 // of all its records, skipped ones too
	left    int64 // of those that are held
	release func()
}

// batchPool has large ones of which nothing is held any more: their items are empty.
var batchPool = sync.Pool{New: func() any { return new(batch) }}

// pooledItems is from how many items on a batch is large. A smaller one is not used
// again: one item that is held for long would keep the room of hundreds.
const pooledItems = 64

// newBatch has room for n items. The caller holds it until all are counted.
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

// drop ends one holder of so many bytes.
func (b *batch) drop(size int64) {
	b.held--
	b.left -= size
	if b.held > 0 {
		return
	}
	// A transport whose records are the caller's has nothing to release.
	if b.release != nil {
		b.release()
	}
	*b = batch{items: b.items}
	if cap(b.items) >= pooledItems {
		batchPool.Put(b)
	}
}

// keep leaves the batch's memory to the garbage collector. What waits is read by those who
// are told of it, and who write its dead letter, and not under the partition's lock.
func (b *batch) keep() { b.release = nil }

// largeItem is from how many bytes on an item is not copied for the sake of the rest of
// its batch, if that is less than the item: the batch is kept instead.
const largeItem = 1 << 20

// isMostly reports whether most of the batch's memory is that of one large item. A copy
// would take as much again.
func (b *batch) isMostly(it *item) bool {
	return it.size >= largeItem && int64(it.size) >= b.size/2
}

// sparse reports whether less than half of the batch's memory is still needed.
func (b *batch) sparse() bool { return b.left < b.size/2 }

// retryState is the history of an item's failed attempts. An item that has one
// runs alone, also of a batch handler: its errors must be told apart from those of
// the rest of the batch. The lock of the item's partition guards it.
type retryState struct {
	attempts    int           // that failed and were counted
	first, last time.Time     // of its failures; first less what earlier owners used
	openBefore  time.Duration // the breaker's OpenFor at first
	stood       time.Duration // waits since first that cost nothing
	err         error         // of the last attempt, or why the end was decided
	reason      string        // of the dead letter
	stack       []byte        // of a panic
	end         End           // DeadEnd, Hold or await once that is decided
	then        End           // what follows await once nobody handles the type
	foreign     *foreignType  // of await
	spent       *budget       // by an earlier owner, of what is held
	notBefore   time.Time     // for which the handler of a batch has asked; zero if it has not
	writes      int           // attempts to write the dead letter
	refused     error         // of the last attempt to write it
	counted     bool          // the breaker was asked about a failure of it, the first time at mark
	mark        resilience.Mark
	probes      int // that failed in a row, without a result of its own between them
}

// stoodStill returns for how long since the first failure the clocks stood still:
// while the breaker was open, and in waits that spend nothing.
func (f *retryState) stoodStill(b *resilience.Breaker) time.Duration {
	if b == nil {
		return f.stood
	}
	return f.stood + b.OpenFor() - f.openBefore
}

// elapsed returns how much of the policy's time is used. Only time in which the
// record could be tried is: not while its breaker was open, and not while no member
// owned the partition.
func (f *retryState) elapsed(b *resilience.Breaker, now time.Time) time.Duration {
	if f.first.IsZero() {
		return 0
	}
	return max(now.Sub(f.first)-f.stoodStill(b), 0)
}

// breaker is nil for an item that no subscription handles: its route has decided.
func (it *item) breaker() *resilience.Breaker {
	if it.sub == nil {
		return nil
	}
	return it.sub.Breaker
}

// failure describes the item to observers and to the dead letter. It borrows the
// record, and the caller keeps it in its lane meanwhile.
func (it *item) failure() *Failure {
	f := it.retry
	return &Failure{
		Record: it.record, Reason: f.reason, Err: f.err, Stack: f.stack,
		Attempts: f.attempts, First: f.first, Last: f.last, Refused: f.refused,
	}
}
