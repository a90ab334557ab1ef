package batch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

const (
	// keptHeaders is how many headers are kept of a record that has too many.
	keptHeaders = 64
	// maxRecordBytes bounds the decompressed size of a record in its batch, in bytes. Brokers
	// bound batches in compressed form, so a small one could demand any amount of memory. The
	// key and value of a larger record are kept if they fit Reader.Bound.
	maxRecordBytes = 128 << 20
	// minBound is the lower limit of Reader.Bound. Half of it is the window that every zstd
	// decoder should support (RFC 8878, section 3.1.1.1.2).
	minBound = 16 << 20
)

// bound returns Bound, or minBound if that is larger.
func (r *Reader) bound() int { return max(r.Bound, minBound) }

// fields is the part of a record before its headers.
type fields struct {
	time, offset int64 // deltas from the batch's base timestamp and base offset
	key, value   []byte
	headers      int // number of headers
	at           int // where the headers begin
}

// readFields reads the fields of a record, b, which excludes its length. Key and value alias b. ok
// is false if b ends before the headers, or their number is impossible; the key may be set even
// then.
func readFields(b []byte) (f fields, ok bool) {
	var at int
	f.time, at = varint(b, 1) // after the attributes, which Kafka does not use
	f.offset, at = varint(b, at)
	f.key, at = varbytes(b, at)
	if at > len(b) {
		return f, false
	}
	f.value, at = varbytes(b, at)
	count, at := varint(b, at)
	if at > len(b) || count < 0 || count > math.MaxInt32 {
		return f, false
	}
	f.headers, f.at = int(count), at
	return f, true
}

// add appends a record to d, unless its offset is before the wanted one. b is the record or, if
// it was cut, its beginning; size is the record's full size.
func (r *Reader) add(d *Decoded, b []byte, f *fields, size int) error {
	offset, err := r.passTo(f.offset)
	if err != nil || offset < d.Next {
		return err
	}
	if f.headers > (size-f.at)/2 { // a header takes at least two bytes
		return errRecordCut
	}
	record := r.newRecord(d, offset, f)
	record.Key, record.Value = f.key, f.value
	if r.exceeds(f.headers, size) {
		record.Excess = &transport.Excess{Bytes: size, Headers: f.headers}
	}
	// The record was appended to be filled in place. Remove it again if its headers are damaged.
	if err := r.readHeaders(d, b, f, record); err != nil {
		d.Records = d.Records[:len(d.Records)-1]
		return err
	}
	if record.Excess != nil {
		detach(record)
	} else {
		d.hold(r.batch.content.buffer)
	}
	d.Size += record.Size()
	d.Next = offset + 1
	return nil
}

// passTo returns the offset of the next record, from its delta, and checks it. The offset must
// leave enough of the batch's offsets for the records behind it: otherwise the batch would count
// as read before those are found to be wrong, and they would be skipped.
func (r *Reader) passTo(delta int64) (int64, error) {
	b := &r.batch
	offset := b.base + delta
	if offset <= b.last || offset > b.next-int64(b.left) {
		return 0, fmt.Errorf("a record has offset %d after %d, with %d more behind it in a batch up to %d", offset, b.last, b.left-1, b.next-1)
	}
	b.last = offset
	return offset, nil
}

// newRecord appends a record without key, value and headers to d, and returns it.
func (r *Reader) newRecord(d *Decoded, offset int64, f *fields) *transport.Record {
	b := &r.batch
	d.Records = append(d.Records, transport.Record{Topic: r.Topic, Partition: r.Partition, Offset: offset, LeaderEpoch: b.leaderEpoch})
	record := &d.Records[len(d.Records)-1]
	if b.attributes&attributeLogAppendTime != 0 {
		record.Time = timeOf(b.maxTimestamp)
	} else {
		record.Time = timeOf(b.baseTimestamp + f.time)
	}
	return record
}

// timeOf returns the time of a timestamp in milliseconds. A record without a timestamp has −1,
// which would be a time in 1969; the result for it is the zero time.
func timeOf(timestamp int64) time.Time {
	if timestamp == -1 {
		return time.Time{}
	}
	return time.UnixMilli(timestamp)
}

// exceeds reports whether a record of size bytes with that many headers would take more memory
// than the bound, and more than twice its size.
func (r *Reader) exceeds(headers, size int) bool {
	if headers <= keptHeaders {
		return false
	}
	memory := recordSize + headers*headerSize + size
	return memory > r.bound() && memory > 2*size
}

// readHeaders reads the headers of a record, or the first of them if it has too many.
func (r *Reader) readHeaders(d *Decoded, b []byte, f *fields, record *transport.Record) error {
	count := f.headers
	if record.Excess != nil {
		count = min(count, keptHeaders)
	}
	if count == 0 {
		return nil
	}
	at := f.at
	headers := d.slab.take(count, cap(d.Records)-len(d.Records)+1)
	for i := range headers {
		var key []byte
		key, at = varbytes(b, at)
		headers[i].Value, at = varbytes(b, at)
		headers[i].Key = r.Keys.intern(i, key)
	}
	if at > len(b) {
		return errRecordCut
	}
	record.Headers = headers
	return nil
}

// readAcross reads a record that is not completely in memory. If the record exceeds the bounds,
// only its beginning is read into memory, and the rest is skipped.
func (r *Reader) readAcross(d *Decoded) error {
	c := &r.batch.content
	// The length may span two pieces of the stream.
	if err := c.need(binary.MaxVarintLen32); err != nil {
		return err
	}
	size, start := varint(c.data, 0)
	if start > len(c.data) || size < 0 || size > math.MaxInt32 {
		return errRecordCut
	}
	end, most := start+int(size), maxRecordBytes
	// A larger record is read only as far as its key and value may be kept.
	if end > most {
		most = r.bound()
	}
	for have := min(end, wholeBytes); ; have = nextSize(have, min(end, most)) {
		if err := c.need(have); err != nil {
			return err
		}
		if len(c.data) < have {
			return errRecordCut
		}
		b := c.data[start:have]
		f, ok := readFields(b)
		if ok && have == end {
			c.data = c.data[end:]
			return r.add(d, b, &f, len(b))
		}
		if have == end {
			return errRecordCut
		}
		// Return the record with what f has by now.
		if have >= most {
			return r.addWithout(d, &f, ok, int(size), end)
		}
		if ok && r.exceeds(f.headers, int(size)) && skipHeaders(b, f.at, keptHeaders) <= len(b) {
			if err := r.add(d, b, &f, int(size)); err != nil {
				return err
			}
			return c.skip(end)
		}
	}
}

// nextSize returns how many bytes of a record to read into memory next, when have bytes are
// there: at most end. A record's length is only a claim, so the memory is at most 16 times what
// has been read.
func nextSize(have, end int) int {
	const most = 16
	if end <= most*have {
		return end
	}
	return most / 2 * have
}

// addWithout appends a record that is too large to read. The record lacks its headers and, unless
// value is set, its value. value reports whether f has the whole value.
func (r *Reader) addWithout(d *Decoded, f *fields, value bool, size, end int) error {
	offset, err := r.passTo(f.offset)
	if err != nil {
		return err
	}
	if offset >= d.Next {
		record := r.newRecord(d, offset, f)
		record.Key, record.Value = f.key, []byte{}
		record.Excess = &transport.Excess{Bytes: size, Headers: -1, Value: !value}
		if value {
			record.Value = f.value
		}
		detach(record)
		d.Size += record.Size()
		d.Next = offset + 1
	}
	return r.batch.content.skip(end)
}

// detach copies what a record refers to. It is a small part of what was read for the record, and
// would keep all of that alive. Nil stays nil: a null key or value differs from an empty one.
func detach(record *transport.Record) {
	record.Key, record.Value = bytes.Clone(record.Key), bytes.Clone(record.Value)
	headers := make([]transport.Header, len(record.Headers))
	for i, h := range record.Headers {
		headers[i] = transport.Header{Key: h.Key, Value: bytes.Clone(h.Value)}
	}
	record.Headers = headers
}

// skipHeaders returns the position in b after the n headers that begin at position at, or a
// position beyond b if b ends before.
func skipHeaders(b []byte, at, n int) int {
	for ; n > 0 && at <= len(b); n-- {
		_, at = varbytes(b, at)
		_, at = varbytes(b, at)
	}
	return at
}

// cut is the position after a read that found too little data. It is beyond all data, so that
// later reads fail too and one check at the end is enough.
const cut = math.MaxInt / 2

// varint reads a zigzag number at position at of b, and returns it with the position after it.
func varint(b []byte, at int) (int64, int) {
	if uint(at) < uint(len(b)) {
		if c := b[at]; c < 0x80 { // most take one byte
			return int64(c>>1) ^ -int64(c&1), at + 1
		}
		if v, n := binary.Varint(b[at:]); n > 0 {
			return v, at + n
		}
	}
	return 0, cut
}

// varbytes reads bytes preceded by their size at position at of b, and returns them with the
// position after them. A size of −1 means nil.
func varbytes(b []byte, at int) ([]byte, int) {
	// The common case, a size of one byte, is written out: this runs twice per header.
	var size int64
	if uint(at) < uint(len(b)) && b[at] < 0x80 {
		size = int64(b[at]>>1) ^ -int64(b[at]&1)
		at++
	} else {
		size, at = varint(b, at)
	}
	if at > len(b) || size < -1 || size > int64(len(b)-at) {
		return nil, cut
	}
	if size < 0 {
		return nil, at
	}
	end := at + int(size)
	return b[at:end:end], end
}
