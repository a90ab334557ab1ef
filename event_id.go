package eventbus

import (
	"crypto/rand"
	"encoding/hex"
	"sync"
	"sync/atomic"
	"time"
)

// newEventID returns a UUID of version 7 (RFC 9562, 5.7) for an event made at
// now: 48 bits of milliseconds, 12 bits of the fraction of the millisecond
// (6.2, method 3), and 62 random bits. Those of one process sort by age.
func newEventID(now time.Time) string {
	random := idRandoms.Get().(*idRandom)
	ticks := nextIDTicks(now)
	milli, fraction := ticks>>12, ticks&0xfff
	id := [16]byte{
		byte(milli >> 40), byte(milli >> 32), byte(milli >> 24), byte(milli >> 16), byte(milli >> 8), byte(milli),
		0x70 | byte(fraction>>8), byte(fraction), // version 7
	}
	copy(id[8:], random.eight())
	idRandoms.Put(random)
	id[8] = id[8]&0x3f | 0x80 // variant of RFC 9562, 4.1

	var text [36]byte
	hex.Encode(text[:], id[:4])
	hex.Encode(text[9:], id[4:6])
	hex.Encode(text[14:], id[6:8])
	hex.Encode(text[19:], id[8:10])
	hex.Encode(text[24:], id[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}

// lastIDTicks is the time of the last id, in 4,096ths of a millisecond.
var lastIDTicks atomic.Int64

// nextIDTicks is the time for an id: now, or a tick after the last id where that
// is not later. Of two goroutines that meet here one makes the other look again.
func nextIDTicks(now time.Time) int64 {
	nanos := now.UnixNano()
	at := nanos/1e6<<12 | nanos%1e6<<12/1e6
	for {
		last := lastIDTicks.Load()
		at = max(at, last+1)
		if lastIDTicks.CompareAndSwap(last, at) {
			return at
		}
	}
}

// idRandom is randomness of the system's, drawn in blocks: one call for 64 ids.
type idRandom struct {
	block [512]byte
	used  int
}

var idRandoms = sync.Pool{New: func() any { return &idRandom{used: len(idRandom{}.block)} }}

// eight returns eight bytes that are good until the next call.
func (r *idRandom) eight() []byte {
	if r.used == len(r.block) {
		_, _ = rand.Read(r.block[:]) // it never fails: it ends the process where the system has no randomness
		r.used = 0
	}
	r.used += 8
	return r.block[r.used-8 : r.used]
}
