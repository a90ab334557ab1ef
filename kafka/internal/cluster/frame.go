package cluster

import (
	"sync"
)

// Frame is memory for an encoded request, reused for the next one.
type Frame struct{ Bytes []byte }

var frames = sync.Pool{New: func() any { return &Frame{Bytes: make([]byte, 0, 4<<10)} }}

// TakeFrame returns an empty frame, which its user passes to GiveFrame.
func TakeFrame() *Frame { return frames.Get().(*Frame) }

// GiveFrame keeps f for TakeFrame, unless it is so large that it would hold much memory for a
// rare request.
func GiveFrame(f *Frame) {
	if cap(f.Bytes) <= 2<<20 {
		frames.Put(f)
	}
}
