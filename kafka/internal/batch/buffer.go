package batch

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Buffers are pooled in classes of powers of two, from 4 KiB to 32 MiB. Larger
// ones are left to the garbage collector.
const (
	minBufferBits = 12
	maxBufferBits = 25
)

// bufferPools holds *fetchBuffer. Class i has a capacity of at least
// 1<<(minBufferBits+i).
var bufferPools [maxBufferBits - minBufferBits + 1]sync.Pool

// FetchBuffer is memory that fetched records lie in, with a count of those who
// use it. The last release gives it back to the pool, so a record of it that is
// read afterwards shows the bytes of another.
type FetchBuffer struct {
	B    []byte
	refs atomic.Int32
}

// NewFetchBuffer returns a buffer of that length, held once. Its content is
// arbitrary.
func NewFetchBuffer(size int) *FetchBuffer {
	class := max(bits.Len(uint(max(size, 1)-1)), minBufferBits)
	if class > maxBufferBits {
		f := &FetchBuffer{B: make([]byte, size)}
		f.refs.Store(1)
		return f
	}
	f, ok := bufferPools[class-minBufferBits].Get().(*FetchBuffer)
	if !ok {
		f = &FetchBuffer{B: make([]byte, 1<<class)}
	}
	f.B = f.B[:size]
	f.refs.Store(1)
	return f
}

func (f *FetchBuffer) Retain() { f.refs.Add(1) }

// Release gives one hold up.
func (f *FetchBuffer) Release() {
	n := f.refs.Add(-1)
	if n > 0 {
		return
	}
	if n < 0 {
		panic("kafka: memory of a fetched batch was released twice")
	}
	// The class is that of the capacity rounded down: a decoder may have grown
	// the slice to any size.
	class := bits.Len(uint(cap(f.B))) - 1
	if class >= minBufferBits && class <= maxBufferBits {
		bufferPools[class-minBufferBits].Put(f)
	}
}
