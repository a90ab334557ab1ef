package batch

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Buffers are pooled in classes of powers of two, from 4 KiB to 32 MiB. Larger ones are left
// to the garbage collector.
const (
	minBufferBits = 12
	maxBufferBits = 25
)

// bufferPools holds *Buffer. Class i has a capacity of at least
// 1<<(minBufferBits+i).
var bufferPools [maxBufferBits - minBufferBits + 1]sync.Pool

// Buffer is memory from a pool, with a count of its users. The last Release returns it to the
// pool; anything that still refers to its bytes then reads the next user's. Retain and
// Release are safe for concurrent use.
type Buffer struct {
	Bytes []byte       // may be appended to by its only user
	refs  atomic.Int32 // users
}

// NewBuffer returns a buffer of size bytes with one user, the caller. Its content is
// unspecified.
func NewBuffer(size int) *Buffer {
	class := max(bits.Len(uint(max(size, 1)-1)), minBufferBits)
	if class > maxBufferBits {
		return exactBuffer(size)
	}
	// The content is not cleared: callers overwrite what they use.
	f, ok := bufferPools[class-minBufferBits].Get().(*Buffer)
	if !ok {
		f = &Buffer{Bytes: make([]byte, 1<<class)}
	}
	f.Bytes = f.Bytes[:size]
	f.refs.Store(1)
	return f
}

// exactBuffer returns a buffer of exactly size bytes, outside the pool, for a record of more
// than the usual size.
func exactBuffer(size int) *Buffer {
	f := &Buffer{Bytes: make([]byte, size)}
	f.refs.Store(1)
	return f
}

// Retain adds a user, which must call Release once.
func (f *Buffer) Retain() { f.refs.Add(1) }

// Release removes a user. It panics if there is none.
func (f *Buffer) Release() {
	n := f.refs.Add(-1)
	if n > 0 {
		return
	}
	if n < 0 {
		panic("kafka: memory of a fetched batch was released twice")
	}
	// Round the capacity down to a class: a decoder may have grown the slice to any size.
	class := bits.Len(uint(cap(f.Bytes))) - 1
	if class >= minBufferBits && class <= maxBufferBits {
		bufferPools[class-minBufferBits].Put(f)
	}
}
