package cluster

import (
	"sync"
)

// frame is the memory that a request is encoded into, reused from one to the
// next.
type frame struct{ Bytes []byte }

var frames = sync.Pool{New: func() any { return &frame{Bytes: make([]byte, 0, 4<<10)} }}

func TakeFrame() *frame { return frames.Get().(*frame) }

// GiveFrame takes f back, unless it has become so large that keeping it would
// hold much memory for a rare request.
func GiveFrame(f *frame) {
	if cap(f.Bytes) <= 2<<20 {
		frames.Put(f)
	}
}
