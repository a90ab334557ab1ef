package kafka

import (
	"sync"

	"github.com/eventbus-go/eventbus/transport"
)

// recordMemory is what the records of a chunk and their headers lie in. It is
// used again once the chunk is released.
type recordMemory struct {
	records []transport.Record
	headers []transport.Header
}

var recordMemories = sync.Pool{New: func() any { return new(recordMemory) }}

// borrow begins a chunk in memory that another one used.
func (d *decoded) borrow() {
	d.memory = recordMemories.Get().(*recordMemory)
	d.records = d.memory.records[:0]
	d.slab.last = d.memory.headers
	d.slab.free = d.slab.last
}

// giveBack ends the use of the chunk's memory. It is emptied, so that it does
// not keep the fetched bytes that its records referred to.
func (d *decoded) giveBack() {
	m := d.memory
	if m == nil {
		return
	}
	m.records, m.headers = d.records[:0], d.slab.last
	clear(d.records)
	clear(m.headers[:len(m.headers)-len(d.slab.free)])
	d.memory, d.records, d.slab = nil, nil, headerSlab{}
	recordMemories.Put(m)
}
