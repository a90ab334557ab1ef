package eventid

import (
	"crypto/sha256"
	"encoding/binary"
)

// Origin is the handled event from which the ids of other events are derived, and the
// group that handles it. Without an ID there is no origin.
type Origin struct{ Group, Source, ID string }

// Digest collects what distinguishes an event from others of the same origin. The fields
// and their order determine the id: they must never change.
type Digest struct{ fields []byte }

// NewDigest returns the digest of an origin alone.
func NewDigest(of Origin) *Digest {
	d := &Digest{make([]byte, 0, 512)}
	d.Add("eventbus derived id 1")
	d.Add(of.Group)
	d.Add(of.Source)
	d.Add(of.ID)
	return d
}

// Add adds a field, preceded by its length, which keeps fields apart.
func (d *Digest) Add(s string) {
	d.fields = append(binary.AppendUvarint(d.fields, uint64(len(s))), s...)
}

// AddBytes adds a field that may be absent: nil.
func (d *Digest) AddBytes(b []byte) {
	if b == nil {
		d.fields = append(d.fields, 0)
		return
	}
	sum := sha256.Sum256(b) // not b itself, which may be large
	d.fields = append(append(d.fields, 1), sum[:]...)
}

// Sum returns the sum of the digest.
func (d *Digest) Sum() (s Sum) {
	sum := sha256.Sum256(d.fields)
	copy(s[:], sum[:])
	return s
}

// Sum identifies an event. Equal events of one attempt have the same Sum; ID
// distinguishes them by a count.
type Sum [16]byte

// ID returns the id of the event that follows n equal ones: a UUID of version 8 (RFC
// 9562, 5.8) made from the bits of a SHA-256.
func (s Sum) ID(n int) string {
	id := [16]byte(s)
	if n > 0 {
		sum := sha256.Sum256(binary.AppendUvarint(s[:], uint64(n)))
		copy(id[:], sum[:])
	}
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return text(&id)
}
