package batch

import (
	"github.com/eventbus-go/eventbus/transport"
)

// Header keys repeat from record to record. At most this many different ones, of at most this size,
// are remembered.
const (
	maxHeaderKeys    = 256
	maxHeaderKeySize = 128
)

// HeaderKeys returns strings for header keys, without allocating known ones. It is used by one
// goroutine. The zero value is ready to use.
type HeaderKeys struct {
	known map[string]string // by itself
	// last are the keys of the previous record, by position: records of one topic mostly have the
	// same keys in the same order, and comparing is cheaper than a lookup.
	last []string
}

// intern returns the key of a record's header at position i.
func (k *HeaderKeys) intern(i int, key []byte) string {
	// The comparison makes no string.
	if i < len(k.last) && k.last[i] == string(key) {
		return k.last[i]
	}
	s, ok := k.known[string(key)]
	if !ok {
		// Long keys are not remembered, and neither are too many: a producer may put an id into
		// each.
		s = string(key)
		if len(key) > maxHeaderKeySize {
			return s
		}
		if len(k.known) < maxHeaderKeys {
			if k.known == nil {
				k.known = make(map[string]string)
			}
			k.known[s] = s
		}
	}
	if i < len(k.last) {
		k.last[i] = s
	} else if i == len(k.last) && i < maxHeaderKeys {
		k.last = append(k.last, s)
	}
	return s
}

// headerSlab cuts the headers of many records from few allocations. last is the newest of
// these, and free its unused part. Earlier ones belong to the records.
type headerSlab struct{ last, free []transport.Header }

// take returns n headers for a record, with left−1 more records expected that need as many.
func (s *headerSlab) take(n, left int) []transport.Header {
	if len(s.free) < n {
		// Bound the guess: a record with many headers is rarely followed by as many such records
		// as the batch has.
		s.last = make([]transport.Header, max(n, min(n*left, maxSlab)))
		s.free = s.last
	}
	h := s.free[:n:n]
	s.free = s.free[n:]
	return h
}

// maxSlab bounds the number of headers in one allocation: 160 KiB.
const maxSlab = 4096
