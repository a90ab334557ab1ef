package wire

import (
	"hash/maphash"
	"sync/atomic"
	"unicode/utf8"
)

// interned holds the strings that come with every record: sources, types,
// content types, names of extensions. A lookup takes no lock and does not
// allocate.
var interned internTable

// internSlots bounds the memory, and internLength the strings worth keeping. Both suffice for
// what a service usually reads.
const (
	internSlots  = 1024
	internLength = 256
)

// The seed is random per process, so that nobody outside can choose values that share a slot.
var internSeed = maphash.MakeSeed()

// internTable has one slot per hash, which holds the last string, so its size is
// bounded. A producer that writes a new value into every record costs two
// allocations each, and nothing else. Strings beyond internLength are not kept.
type internTable [internSlots]atomic.Pointer[string]

// get returns b as a string, and reports whether it is UTF-8. Only valid strings are stored
// for the next record, so that a string that is found need not be checked again. It is safe
// for concurrent use: two goroutines that store at once lose one entry and nothing else.
func (t *internTable) get(b []byte) (s string, valid bool) {
	if len(b) > internLength {
		return string(b), utf8.Valid(b)
	}
	slot := &t[maphash.Bytes(internSeed, b)%internSlots]
	if known := slot.Load(); known != nil && *known == string(b) {
		return *known, true
	}
	// The slot's old string stays valid for those who have it.
	fresh := string(b)
	if valid = utf8.Valid(b); valid {
		slot.Store(&fresh)
	}
	return fresh, valid
}

// recentText is the last text of one attribute. The next record's is usually the same, and
// comparing is cheaper than a lookup. The zero value is the empty text.
type recentText string

// get does what internTable.get does.
func (r *recentText) get(b []byte) (s string, valid bool) {
	if string(b) == string(*r) {
		return string(*r), true
	}
	// Text that is not UTF-8 is a fault every time, and long text is not kept.
	if s, valid = interned.get(b); valid && len(s) <= internLength {
		*r = recentText(s)
	}
	return s, valid
}
