// Package lease lends records in memory that ends with the loan. A driver that pools
// its buffers gives the memory of a released batch to the next one, so code that
// keeps a record too long reads another event now and then, in production. Under a
// Lease it reads the same words every time, so tests fail.
package lease

import (
	"hash/maphash"
	"sync/atomic"
	"unsafe"

	"github.com/eventbus-go/eventbus/transport"
)

// Words is what released memory holds: each key, value and header starts with it,
// as far as it fits, and repeats it to its end. It is not JSON, so decoding it fails.
const Words = "used after release: Clone the Envelope to keep it. "

// seed is random per process, since sums are only compared within it.
var seed = maphash.MakeSeed()

// Lease is the memory of some records. Release may be called from any goroutine,
// once.
type Lease struct {
	// memory holds all keys, values and headers, one after another.
	memory []byte
	// fields are the parts of memory, one for each key, value and header.
	fields [][]byte
	// records are the caller's, which refer to memory.
	records []transport.Record
	// sum is the hash of memory when it was lent.
	sum      uint64
	released atomic.Bool
}

// Of copies the keys, values and headers of records into new memory, and makes
// records refer to it, in place. Nil stays distinct from empty. It keeps records,
// which Release clears.
func Of(records []transport.Record) *Lease {
	n := 2 * len(records)
	for i := range records {
		n += 2 * len(records[i].Headers)
	}
	l := &Lease{records: records, fields: make([][]byte, 0, n)}
	l.copy(records)
	l.sum = maphash.Bytes(seed, l.memory)
	return l
}

// Copy is like Of, but without a Lease: the garbage collector frees the copies.
func Copy(records []transport.Record) {
	var l Lease
	l.copy(records)
}

// copy copies what records refer to into l.memory, which has its final size from the
// start, so that append never moves it.
func (l *Lease) copy(records []transport.Record) {
	size, headers := 0, 0
	for i := range records {
		r := &records[i]
		size += len(r.Key) + len(r.Value)
		headers += len(r.Headers)
		for _, h := range r.Headers {
			size += len(h.Key) + len(h.Value)
		}
	}
	l.memory = make([]byte, 0, size)
	copied := make([]transport.Header, 0, headers)
	for i := range records {
		r := &records[i]
		r.Key, r.Value = l.place(r.Key), l.place(r.Value)
		if r.Headers == nil {
			continue
		}
		from := len(copied)
		for _, h := range r.Headers {
			// A driver that decodes in place has the header's key in its buffer too.
			key := l.place([]byte(h.Key))
			copied = append(copied, transport.Header{Key: unsafe.String(unsafe.SliceData(key), len(key)), Value: l.place(h.Value)})
		}
		r.Headers = copied[from:len(copied):len(copied)]
	}
}

// place copies b to the end of the memory, which has room for it.
func (l *Lease) place(b []byte) []byte {
	if b == nil {
		return nil
	}
	from := len(l.memory)
	l.memory = append(l.memory, b...)
	field := l.memory[from:len(l.memory):len(l.memory)]
	// Copy keeps no fields: nothing will overwrite them.
	if l.fields != nil {
		l.fields = append(l.fields, field)
	}
	return field
}

// Release overwrites the memory and clears the records. It reports whether the
// borrower left the memory unchanged: a driver may have lent it to others at the same
// time. It panics if it is called twice, which would corrupt a driver's pool.
func (l *Lease) Release() (intact bool) {
	if l.released.Swap(true) {
		panic("lease: a batch was released twice")
	}
	intact = maphash.Bytes(seed, l.memory) == l.sum
	for _, field := range l.fields {
		for n := 0; n < len(field); {
			n += copy(field[n:], Words)
		}
	}
	clear(l.records)
	return intact
}
