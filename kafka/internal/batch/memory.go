package batch

import (
	"sync"

	"github.com/eventbus-go/eventbus/transport"
)

// recordMemory holds the records of a large chunk and their headers. It is reused once the chunk is
// released.
//
// Allocating these for each chunk would leave more garbage than all keys and values, which
// alias the response.
type recordMemory struct {
	records []transport.Record // empty, with its capacity
	headers []transport.Header // the newest slab, unused
}

var recordMemories = sync.Pool{New: func() any { return new(recordMemory) }}

// pooledRecords is the number of records that make a chunk large. Smaller chunks have their own
// memory: one record in long use would otherwise keep the memory of hundreds.
const pooledRecords = 64

// reserve makes room for n records. The caller bounds n, which may come from the batch itself.
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

// giveBack ends the use of the chunk's memory and clears it, so that it does not keep fetched bytes
// alive.
func (d *Decoded) giveBack() {
	m := d.memory
	if m == nil {
		return
	}
	// Keep the newest allocations; older ones are garbage already.
	m.records, m.headers = d.Records[:0], d.slab.last
	clear(d.Records)
	clear(m.headers[:len(m.headers)-len(d.slab.free)])
	d.memory, d.Records, d.slab = nil, nil, headerSlab{}
	recordMemories.Put(m)
}
