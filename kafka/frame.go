package kafka

import "sync"

// frame is the memory that a request is encoded into, reused from one to the
// next.
type frame struct{ bytes []byte }

var frames = sync.Pool{New: func() any { return &frame{bytes: make([]byte, 0, 4<<10)} }}

func takeFrame() *frame { return frames.Get().(*frame) }

// giveFrame takes f back, unless it has become so large that keeping it would
// hold much memory for a rare request.
func giveFrame(f *frame) {
	if cap(f.bytes) <= 2<<20 {
		frames.Put(f)
	}
}
