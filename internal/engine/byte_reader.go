package engine

import (
	"encoding/binary"
	"math"
)

// byteReader reads fields until it runs short, and then zeros.
type byteReader struct {
	b     []byte
	short bool
}

func (r *byteReader) fail() { r.short, r.b = true, nil }

func (r *byteReader) take(n int) []byte {
	if len(r.b) < n {
		r.fail()
		return make([]byte, n)
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *byteReader) uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }
func (r *byteReader) varint() int64  { return number(r, binary.Varint) }

// length reads a number that can't be negative.
func (r *byteReader) length() int64 {
	n := number(r, binary.Uvarint)
	if n > math.MaxInt64 {
		r.fail()
		return 0
	}
	return int64(n)
}

func number[N int64 | uint64](r *byteReader, read func([]byte) (N, int)) N {
	v, n := read(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}
