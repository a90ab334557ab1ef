package view

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// A table keeps a record as
//
//	version   byte, 1
//	kind      byte: event, deleted or faulty
//	partition uvarint
//	offset    uvarint
//	time      varint, milliseconds since 1970; noTime means none
//	headers   uvarint, then for each the name and the value, with their lengths
//	value     length and bytes
//
// Lengths are uvarints. The headers of distributed tracing are left out: decoding
// doesn't need them, and they are the longest. The value of a faulty record is the
// reason.

// recordVersion is the first byte of every record.
const recordVersion = 1

// kind says what a record in a table stands for.
type kind byte

const (
	event kind = iota
	// deleted stands for a tombstone, while a table is being read: the key's events in
	// another partition may come later and be older.
	deleted
	// faulty stands for a record that was too large to be read. It replaces the key's
	// event.
	faulty
)

// stored is a record as a table keeps it. Its slices point into the encoded form.
type stored struct {
	kind      kind
	partition int32
	offset    int64
	time      time.Time
	headers   []transport.Header
	value     []byte
}

// encode returns the record in a new slice of the exact size.
func (s *stored) encode() []byte {
	size := 2 + 4*binary.MaxVarintLen64 + binary.MaxVarintLen32 + len(s.value)
	for i := range s.headers {
		size += 2*binary.MaxVarintLen32 + len(s.headers[i].Key) + len(s.headers[i].Value)
	}
	b := make([]byte, 0, size)
	b = append(b, recordVersion, byte(s.kind))
	b = binary.AppendUvarint(b, uint64(s.partition)) //nolint:gosec // not negative
	b = binary.AppendUvarint(b, uint64(s.offset))    //nolint:gosec // not negative
	millis := int64(noTime)
	if !s.time.IsZero() {
		millis = s.time.UnixMilli()
	}
	b = binary.AppendVarint(b, millis)
	b = binary.AppendUvarint(b, uint64(len(s.headers)))
	for i := range s.headers {
		b = appendBytes(b, s.headers[i].Key)
		b = appendBytes(b, s.headers[i].Value)
	}
	b = appendBytes(b, s.value)
	// The size above is an upper bound, and a table keeps millions of these.
	return append(make([]byte, 0, len(b)), b...)
}

// noTime stands for a record without a time.
const noTime = -1 << 62

func appendBytes[B string | []byte](b []byte, v B) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// errStored is the error of bytes that encode did not make.
var errStored = errors.New("the table's record can't be read")

// decode reads what encode wrote. It returns an error for any other bytes, and never
// allocates by a length that they claim.
func (s *stored) decode(b []byte) error {
	r, err := s.decodeHead(b)
	if err != nil {
		return err
	}
	for n := r.uvarint(); n > 0 && !r.failed; n-- {
		s.headers = append(s.headers, transport.Header{Key: string(r.bytes()), Value: r.bytes()})
	}
	s.value = r.bytes()
	if r.failed || len(r.rest) > 0 {
		return errStored
	}
	return nil
}

// decodeHead reads the fields before the headers, which are all that replaces needs,
// and returns a scanner of the rest. It allocates nothing.
func (s *stored) decodeHead(b []byte) (scanner, error) {
	if len(b) < 2 || b[0] != recordVersion {
		return scanner{}, fmt.Errorf("%w: it has another version", errStored)
	}
	r := scanner{rest: b[2:]}
	*s = stored{kind: kind(b[1]), partition: int32(r.uvarint()), offset: int64(r.uvarint())} //nolint:gosec // the same values went in
	if millis := r.varint(); millis != noTime {
		s.time = time.UnixMilli(millis)
	}
	if r.failed {
		return r, errStored
	}
	return r, nil
}

// scanner reads numbers and byte strings, and fails once it runs out.
type scanner struct {
	rest   []byte
	failed bool
}

func (r *scanner) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	r.advance(n)
	return v
}

func (r *scanner) varint() int64 {
	v, n := binary.Varint(r.rest)
	r.advance(n)
	return v
}

func (r *scanner) advance(n int) {
	if n <= 0 {
		r.failed, r.rest = true, nil
		return
	}
	r.rest = r.rest[n:]
}

func (r *scanner) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.failed, r.rest = true, nil
		return nil
	}
	v := r.rest[:n:n]
	r.rest = r.rest[n:]
	return v
}

// keep returns a table's form of a record, as k.
func keep(r *transport.Record, k kind) *stored {
	s := &stored{kind: k, partition: r.Partition, offset: r.Offset, time: r.Time}
	switch k {
	case event:
		s.value = r.Value
		for _, h := range r.Headers {
			if !strings.HasSuffix(h.Key, "traceparent") && !strings.HasSuffix(h.Key, "tracestate") {
				s.headers = append(s.headers, h)
			}
		}
	case faulty:
		s.value = []byte(r.Excess.Error())
	}
	return s
}

// replaces reports whether s is the newer of two records of one key. Within a
// partition offsets decide. A key is in two partitions only if partitions were added,
// and then the later timestamp decides. If they are equal, the record that arrives
// later wins.
func (s *stored) replaces(old *stored) bool {
	if s.partition == old.partition {
		return s.offset >= old.offset
	}
	return !s.time.Before(old.time)
}
