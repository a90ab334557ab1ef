// Package eventid makes the ids of events: UUIDs of version 7, and of version 8 where
// the id is derived from a handled event.
//
//	eventid.go  Generator: ids that are new
//	derived.go  Digest: ids that another attempt makes again
package eventid

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"io"
	"sync"
	"time"
)

// Generator makes ids that sort by age. It reads random bytes from the system for
// many ids at a time. It is safe for concurrent use; the zero value works.
type Generator struct {
	mu     sync.Mutex
	random *bufio.Reader
	last   uint64 // milliseconds of the last id
	count  uint16 // of the ids in that millisecond, from a random start
}

// randomAtOnce is how many random bytes are read at a time: enough for some 50 ids.
const randomAtOnce = 512

// mostCount is the largest count of a millisecond: 12 bits.
const mostCount = 1<<12 - 1

// Next returns a UUID of version 7 (RFC 9562, 5.7): the milliseconds of now, a count
// of 12 bits and 62 random ones. The count begins at random below its half, so that
// it can't be guessed, and goes on within a millisecond, so that later ids are
// greater (6.2, method 1). If it runs out, or the clock goes back, the ids run ahead
// of the clock.
func (g *Generator) Next(now time.Time) string {
	var id [16]byte
	g.mu.Lock()
	if g.random == nil {
		g.random = bufio.NewReaderSize(rand.Reader, randomAtOnce)
	}
	// rand.Reader never fails: the program ends where the system has no randomness.
	_, _ = io.ReadFull(g.random, id[6:])
	ms := uint64(max(now.UnixMilli(), 0)) //nolint:gosec // not negative
	switch {
	case ms > g.last:
		g.last, g.count = ms, binary.BigEndian.Uint16(id[6:])&(mostCount>>1)
	case g.count < mostCount:
		g.count++
	default:
		g.last, g.count = g.last+1, binary.BigEndian.Uint16(id[6:])&(mostCount>>1)
	}
	ms, count := g.last, g.count
	g.mu.Unlock()
	binary.BigEndian.PutUint16(id[0:], uint16(ms>>32)) //nolint:gosec // 48 bits last until the year 10889
	binary.BigEndian.PutUint32(id[2:], uint32(ms))     //nolint:gosec // its lower half
	binary.BigEndian.PutUint16(id[6:], 0x7000|count)
	id[8] = id[8]&0x3f | 0x80
	return text(&id)
}

// text returns an id in the text form of RFC 9562.
func text(id *[16]byte) string {
	var text [36]byte
	hex.Encode(text[0:], id[0:4])
	hex.Encode(text[9:], id[4:6])
	hex.Encode(text[14:], id[6:8])
	hex.Encode(text[19:], id[8:10])
	hex.Encode(text[24:], id[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}
