package batch

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"

	"github.com/eventbus-go/eventbus/transport"
)

// VarintSize returns the size of v as a zigzag varint, in bytes of seven bits each.
func VarintSize(v int64) int { return (bits.Len64(uint64(v<<1)^uint64(v>>63)|1) + 6) / 7 }

// bytesSize returns the size of b with the length that precedes it.
func bytesSize(b []byte) int {
	if b == nil {
		return 1 // a length of −1
	}
	return VarintSize(int64(len(b))) + len(b)
}

// ContentSize returns the size of a record's key, value and headers, which does not depend on
// its place in a batch.
func ContentSize(r *transport.Record) int {
	n := bytesSize(r.Key) + bytesSize(r.Value) + VarintSize(int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		n += VarintSize(int64(len(h.Key))) + len(h.Key) + bytesSize(h.Value)
	}
	return n
}

// RecordSize returns the size of a record in a batch, without the length that precedes it.
// content is its ContentSize.
func RecordSize(content int, timestampDelta, offsetDelta int64) int {
	return 1 + VarintSize(timestampDelta) + VarintSize(offsetDelta) + content
}

// AppendRecord appends a record whose RecordSize is size.
func AppendRecord(b []byte, r *transport.Record, size int, timestampDelta, offsetDelta int64) []byte {
	b = AppendRecordHead(b, size, timestampDelta, offsetDelta)
	b = appendBytes(b, r.Key)
	b = appendBytes(b, r.Value)
	b = binary.AppendVarint(b, int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		b = binary.AppendVarint(b, int64(len(h.Key)))
		b = append(b, h.Key...)
		b = appendBytes(b, h.Value)
	}
	return b
}

// AppendRecordHead appends what precedes the content of a record whose RecordSize is size.
func AppendRecordHead(b []byte, size int, timestampDelta, offsetDelta int64) []byte {
	b = binary.AppendVarint(b, int64(size))
	b = append(b, 0)
	b = binary.AppendVarint(b, timestampDelta)
	return binary.AppendVarint(b, offsetDelta)
}

// appendBytes appends v preceded by its length, −1 for nil, so that null and empty differ.
func appendBytes(b, v []byte) []byte {
	if v == nil {
		return append(b, 1) // −1
	}
	b = binary.AppendVarint(b, int64(len(v)))
	return append(b, v...)
}

// CutRecord returns the content and the timestamp delta of the first record in b, which
// AppendRecord has written.
func CutRecord(b []byte) (content []byte, timestampDelta int64) {
	size, n := binary.Varint(b)
	b = b[n : n+int(size)]
	timestampDelta, n = binary.Varint(b[1:])
	_, m := binary.Varint(b[1+n:])
	return b[1+n+m:], timestampDelta
}

// ProducerSession identifies the producer of a batch. With the sequence it lets a broker
// recognize a batch that it already has (KIP-98).
type ProducerSession struct {
	ID    int64 // assigned by a broker
	Epoch int16 // package produce counts it per partition; see its fence
}

// Stamp fills in the fixed part of a batch, b, whose records are in place.
func Stamp(b []byte, codec int16, records int, firstTimestamp, maxTimestamp int64, s ProducerSession, sequence int32) {
	binary.BigEndian.PutUint64(b, 0)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-PrefixSize))
	binary.BigEndian.PutUint32(b[12:], 0xffffffff) // the broker fills in its leader epoch
	b[MagicOffset] = 2
	binary.BigEndian.PutUint16(b[21:], uint16(codec))
	binary.BigEndian.PutUint32(b[23:], uint32(records-1))
	binary.BigEndian.PutUint64(b[27:], uint64(firstTimestamp))
	binary.BigEndian.PutUint64(b[35:], uint64(maxTimestamp))
	binary.BigEndian.PutUint64(b[43:], uint64(s.ID))
	binary.BigEndian.PutUint16(b[51:], uint16(s.Epoch))
	binary.BigEndian.PutUint32(b[53:], uint32(sequence))
	binary.BigEndian.PutUint32(b[57:], uint32(records))
	// Last, as it covers everything above from the attributes on.
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
}

// NextSequence returns the sequence after n records. It wraps from 2³¹−1 to 0, as in Kafka.
func NextSequence(sequence int32, n int) int32 {
	return int32((uint32(sequence) + uint32(n)) & 0x7fffffff)
}
