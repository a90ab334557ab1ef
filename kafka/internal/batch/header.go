package batch

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// The record batch of Kafka's message format 2
// (https://kafka.apache.org/documentation/#recordbatch) has this fixed part:
//
//	 0 base offset      int64     27 base timestamp  int64
//	 8 length           int32     35 max timestamp   int64
//	12 leader epoch     int32     43 producer id     int64
//	16 magic            int8      51 producer epoch  int16
//	17 crc              uint32    53 base sequence   int32
//	21 attributes       int16     57 records         int32
//	23 last offset delta int32    61 the records, compressed together
//
// The length counts the bytes after it. The checksum (CRC-32C) covers everything from the
// attributes on.
const (
	// HeaderSize is the size of the fixed part of a batch.
	HeaderSize = 61
	// PrefixSize is the size of the base offset and the length. The length does not count them.
	PrefixSize = 12
	// MinLength is the length of a batch without records.
	MinLength = HeaderSize - PrefixSize
	// MagicOffset is the position of the format's version.
	MagicOffset = 16

	attributeCodec         = 0x07
	attributeLogAppendTime = 0x08
	// AttributeTransactional marks the batches of transactions.
	AttributeTransactional = 0x10
	attributeControl       = 0x20
)

// castagnoli is the table of CRC-32C.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batchHeader has the fields of a batch's fixed part that reading needs.
type batchHeader struct {
	base, next    int64 // the offsets that it covers are [base, next)
	leaderEpoch   int32
	attributes    int16
	baseTimestamp int64
	maxTimestamp  int64
	producer      int64
	records       int32
}

// codec returns the number of the codec, an index of Compressions unless the codec is unknown.
func (h *batchHeader) codec() int16 { return h.attributes & attributeCodec }

// batchSize returns the size of the batch at the start of data. It may be more than len(data): a
// broker cuts its answer at a number of bytes. It is 0 if data ends before the version of the
// format, without which the rest can't be interpreted.
func batchSize(data []byte) (int, error) {
	if len(data) <= MagicOffset {
		return 0, nil
	}
	// The version has the same position in all formats.
	if magic := int8(data[MagicOffset]); magic != 2 {
		if magic == 0 || magic == 1 {
			return 0, fmt.Errorf("the log holds records of message format %d, from before Kafka 0.11, which this client does not read", magic)
		}
		return 0, fmt.Errorf("unknown message format %d", magic)
	}
	length := int32(binary.BigEndian.Uint32(data[8:]))
	if length < MinLength {
		return 0, fmt.Errorf("a record batch claims to be %d bytes long", length)
	}
	return PrefixSize + int(length), nil
}

// Fault is the error of a part of a log that can't be read. Next is greater than From.
type Fault struct {
	From, Next int64 // the offsets [From, Next)
	Err        error // the cause
}

// Error names the offsets and the cause.
func (f *Fault) Error() string {
	return fmt.Sprintf("offsets %d to %d can't be read: %v", f.From, f.Next-1, f.Err)
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// faultOf returns the fault of the batch at the start of data, whose records from offset from on
// can't be read. If the batch does not plausibly say where it ends, the fault covers one offset.
func faultOf(data []byte, from int64, err error) *Fault {
	f := &Fault{From: from, Next: from + 1, Err: err}
	for first := true; len(data) > MagicOffset; first = false {
		offset, length := int64(binary.BigEndian.Uint64(data)), int32(binary.BigEndian.Uint32(data[8:]))
		switch magic := data[MagicOffset]; {
		case magic <= 1:
			// An entry of the old formats has the offset of its last record. Following entries
			// can't be read either.
			f.Next = max(f.Next, offset+1)
			if length < 0 || int(length) > len(data)-PrefixSize {
				return f
			}
			data = data[PrefixSize+int(length):]
		default:
			// A batch behind old entries can be read, so it is no part of their fault.
			if first && len(data) >= HeaderSize {
				if h, err := readBatchHeader(data); err == nil {
					f.Next = max(f.Next, h.next)
				}
			}
			return f
		}
	}
	return f
}

// readBatchHeader reads the fixed part of one complete batch, without checking the checksum.
func readBatchHeader(batch []byte) (h batchHeader, err error) {
	h.base = int64(binary.BigEndian.Uint64(batch))
	h.leaderEpoch = int32(binary.BigEndian.Uint32(batch[12:]))
	h.attributes = int16(binary.BigEndian.Uint16(batch[21:]))
	delta := int32(binary.BigEndian.Uint32(batch[23:]))
	// Compaction keeps the last offset delta, so next is right even if records are gone.
	h.next = h.base + int64(delta) + 1
	h.baseTimestamp = int64(binary.BigEndian.Uint64(batch[27:]))
	h.maxTimestamp = int64(binary.BigEndian.Uint64(batch[35:]))
	h.producer = int64(binary.BigEndian.Uint64(batch[43:]))
	h.records = int32(binary.BigEndian.Uint32(batch[57:]))
	if h.base < 0 || delta < 0 || h.next <= h.base || h.records < 0 || int64(h.records) > int64(delta)+1 {
		return h, fmt.Errorf("a record batch claims to have %d records from offset %d to %d", h.records, h.base, h.next-1)
	}
	return h, nil
}

// Check verifies the checksum of one complete batch. The error wraps kerr.CorruptMessage.
func Check(batch []byte) error {
	if want, got := binary.BigEndian.Uint32(batch[17:]), crc32.Checksum(batch[21:], castagnoli); got != want {
		return fmt.Errorf("the checksum of a record batch at offset %d is %08x, not %08x: %w",
			int64(binary.BigEndian.Uint64(batch)), got, want, kerr.CorruptMessage)
	}
	return nil
}

// Span describes the complete batches at the start of a fetch response.
type Span struct {
	Size int   // bytes of complete batches
	Next int64 // offset after the last batch, at least the wanted one
	Need int   // size of the batch behind them that was cut off; 0 if there is none, or its size is unknown
	// LeaderEpoch is the last batch's; −1 if there is none.
	LeaderEpoch int32
}

// FindSpan reads the headers of the batches in data, which was fetched at offset want. It
// verifies no checksums and decodes no records. An error is a *Fault, and concerns the batch
// behind the span that is returned with it.
func FindSpan(data []byte, want int64) (Span, error) {
	span := Span{Next: want, LeaderEpoch: -1}
	for {
		rest := data[span.Size:]
		size, err := batchSize(rest)
		if err != nil {
			return span, faultOf(rest, span.Next, err)
		}
		if size == 0 {
			return span, nil
		}
		if size > len(rest) {
			span.Need = size
			return span, nil
		}
		h, err := readBatchHeader(rest)
		if err != nil {
			return span, faultOf(rest, span.Next, err)
		}
		// Batches come in offset order. Only the first ones may end before the wanted offset.
		if h.next <= span.Next && span.Next > want {
			return span, faultOf(rest, span.Next, fmt.Errorf("a record batch of offsets %d to %d follows offset %d", h.base, h.next-1, span.Next-1))
		}
		span.Next, span.LeaderEpoch = max(span.Next, h.next), h.leaderEpoch
		span.Size += size
	}
}
