package eventid

import (
	"crypto/sha256"
	"encoding/binary"
)

// Origin is the handled event that ids of other events are derived from, in the group
// that handles it. Without an ID there is none.
type Origin struct{ Group, Source, ID string }

// Digest collects what tells one event from others of the same origin. The fields
// that are added, and their order, decide the id: they never change.
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

// Add adds a field. Its length goes before it, so that two fields never run into each
// other.
func (d *Digest) Add(s string) {
	d.fields = append(binary.AppendUvarint(d.fields, uint64(len(s))), s...)
}

// AddBytes adds a field that may be absent, which nil is.
func (d *Digest) AddBytes(b []byte) {
	if b == nil {
		d.fields = append(d.fields, 0)
		return
	}
	sum := sha256.Sum256(b) // not b itself, which may be large
	d.fields = append(append(d.fields, 1), sum[:]...)
}

// Sum returns what the digest comes to.
func (d *Digest) Sum() (s Sum) {
	sum := sha256.Sum256(d.fields)
	copy(s[:], sum[:])
	return s
}

// Sum stands for an event. Equal ones that are published in one attempt are told
// apart by their count.
type Sum [16]byte

// ID returns the id of the event that has n equal ones before it: a UUID of version 8
// (RFC 9562, 5.8), whose bits are those of a SHA-256.
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
