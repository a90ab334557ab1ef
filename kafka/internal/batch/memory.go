package batch

import (
	"sync"

	"github.com/eventbus-go/eventbus/transport"
)

// recordMemory is what the records of a large chunk and their headers lie in. It
// is used again once the chunk is released.
//
// A decoder that allocated these for each chunk would leave more garbage than all keys and
// values, which alias the response.
type recordMemory struct {
	records []transport.Record // empty, with its capacity
	headers []transport.Header // of the newest slab, all free
}

var recordMemories = sync.Pool{New: func() any { return new(recordMemory) }}

// pooledRecords is from how many records on a chunk is large. A smaller one has
// memory of its own: one record that is in hand for long would keep all that
// hundreds have used.
const pooledRecords = 64

// reserve makes room for more records, n in all. n is bounded by the caller: it may come
// from a batch's own word.
func (d *Decoded) reserve(n int) {
	if d.memory == nil && n >= pooledRecords {
		d.memory = recordMemories.Get().(*recordMemory)
		d.Records = append(d.memory.records[:0], d.Records...)
		d.slab = headerSlab{last: d.memory.headers, free: d.memory.headers}
	}
	if cap(d.Records) < n {
		d.Records = append(make([]transport.Record, 0, n), d.Records...)
	}
}

// giveBack ends the use of the chunk's memory. It is emptied, so that it does
// not keep the fetched bytes that its records referred to.
func (d *Decoded) giveBack() {
	m := d.memory
	if m == nil {
		return
	}
	// The newest of what was allocated is kept. What was outgrown is garbage already.
	m.records, m.headers = d.Records[:0], d.slab.last
	clear(d.Records)
	clear(m.headers[:len(m.headers)-len(d.slab.free)])
	d.memory, d.Records, d.slab = nil, nil, headerSlab{}
	recordMemories.Put(m)
}
