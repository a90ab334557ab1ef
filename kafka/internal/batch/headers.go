package batch

import (
	"github.com/eventbus-go/eventbus/transport"
)

// Header keys repeat from record to record. At most so many different ones, of
// at most this size, are remembered.
const (
	maxHeaderKeys    = 256
	maxHeaderKeySize = 128
)

// HeaderKeys makes strings of header keys without allocating one that it knows.
// It belongs to one goroutine. The zero value works.
type HeaderKeys struct {
	known map[string]string // by itself
	// last are the keys of the record before, by place: records of one topic
	// mostly have the same keys in the same order, and comparing is cheaper
	// than looking up.
	last []string
}

// intern returns the key of a record's header at place i.
func (k *HeaderKeys) intern(i int, key []byte) string {
	// The comparison makes no string.
	if i < len(k.last) && k.last[i] == string(key) {
		return k.last[i]
	}
	s, ok := k.known[string(key)]
	if !ok {
		// A string is only made of a key that is new. Long ones are not remembered, and of too
		// many none: a producer may put an id into each.
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

// headerSlab cuts the headers of many records from few allocations. last is the newest
// of these, free the part of it that no record has. Earlier ones are the records' alone.
type headerSlab struct{ last, free []transport.Header }

// take returns n headers for a record after which left−1 more are expected to
// need as many.
func (s *headerSlab) take(n, left int) []transport.Header {
	if len(s.free) < n {
		// The guess is bounded: a record of many headers is rarely followed by
		// as many such records as the batch has.
		s.last = make([]transport.Header, max(n, min(n*left, maxSlab)))
		s.free = s.last
	}
	h := s.free[:n:n]
	s.free = s.free[n:]
	return h
}

// maxSlab is how many headers one allocation is made for, at most: 160 KiB.
const maxSlab = 4096
