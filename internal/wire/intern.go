package wire

import (
	"hash/maphash"
	"sync/atomic"
)

// interned holds the strings that come back with every record: sources, types,
// content types, names of extensions. Looking one up takes no lock and no
// allocation.
var interned internTable

const (
	internSlots  = 1024
	internLength = 256
)

var internSeed = maphash.MakeSeed()

// internTable has one place for each hash, where the last string stays: it is
// bounded by that. Producers that put something new into every record cost two
// allocations each, and nothing else.
type internTable [internSlots]atomic.Pointer[string]

func (t *internTable) get(b []byte) string {
	if len(b) > internLength {
		return string(b)
	}
	slot := &t[maphash.Bytes(internSeed, b)%internSlots]
	if known := slot.Load(); known != nil && *known == string(b) {
		return *known
	}
	s := string(b)
	slot.Store(&s)
	return s
}
