package batch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// minRecordSize is the least that one record takes: its length, attributes, two
// deltas, two sizes and the number of headers, one byte each.
const minRecordSize = 7

var errRecordCut = errors.New("a record ends in the middle")

// AbortedTransaction is a transaction whose records must not be returned: those of
// Producer from offset First up to its abort marker.
type AbortedTransaction struct{ Producer, First int64 }

// Reader decodes the record batches of one partition in one fetch response, chunk
// by chunk. It is not safe for concurrent use.
type Reader struct {
	Topic     string
	Partition int32
	Data      []byte // complete batches that are not read yet
	Next      int64  // the offset of the next record to return
	// Aborted lists the aborted transactions whose start is not reached yet, by
	// their first offset. Aborting has the producers of those that have started
	// and not ended; it is nil for read_uncommitted.
	Aborted  []AbortedTransaction
	Aborting map[int64]struct{}
	Keys     *HeaderKeys // interns header keys; shared by all readers of a consumer
}

// Decoded is a chunk of a partition's log. Its user calls Release once.
type Decoded struct {
	From, Next int64 // the chunk covers the offsets [From, Next), which need not all have records
	// Records and their headers are in memory, if there are many. Their keys and
	// values are in the fetch response, or in buffers if they were compressed. All
	// of it is valid until Release.
	Records []transport.Record
	memory  *recordMemory
	buffers []*Buffer
	slab    headerSlab
	Size    int // bytes of the batches, decompressed
	limit   int // bytes to reach
}

// Read takes batches off the data until they make up limit bytes decompressed,
// at least one if there is any. When a batch can't be read, those before it are
// returned, and the error next time.
func (r *Reader) Read(limit int) (Decoded, error) {
	d := Decoded{From: r.Next, Next: r.Next, limit: limit}
	for start := len(r.Data); d.Size < limit && len(r.Data) > 0; {
		length, err := batchSize(r.Data)
		if err == nil && (length == 0 || length > len(r.Data)) {
			err = errRecordCut
		}
		if err == nil {
			err = r.readBatch(r.Data[:length], &d)
		}
		if err != nil {
			if len(r.Data) < start {
				break
			}
			return d, fmt.Errorf("%s/%d at offset %d: %w", r.Topic, r.Partition, d.Next, err)
		}
		r.Data = r.Data[length:]
	}
	r.Next = d.Next
	return d, nil
}

// readBatch adds one whole batch to d.
func (r *Reader) readBatch(batch []byte, d *Decoded) error {
	h, err := readBatchHeader(batch)
	if err != nil {
		return err
	}
	if err := Check(batch); err != nil {
		return err
	}
	if h.next <= d.Next {
		return nil // it ends before what was asked for
	}
	data := batch[HeaderSize:]
	switch {
	case h.attributes&attributeControl != 0:
		if err := r.readMarker(data, &h); err != nil {
			return err
		}
	case r.isAborted(&h):
	case h.codec() != 0 && h.records > 0:
		buffer, err := Decompress(h.codec(), data)
		if err != nil {
			return err
		}
		data = buffer.Bytes
		if err := r.readRecords(data, &h, d, len(batch)); err != nil {
			buffer.Release()
			return err
		}
		d.buffers = append(d.buffers, buffer)
	default:
		if err := r.readRecords(data, &h, d, len(batch)); err != nil {
			return err
		}
	}
	d.Next = h.next
	d.Size += HeaderSize + len(data)
	return nil
}

// readRecords appends the records of a batch from d.next on. The batch is of
// that size as it was stored.
func (r *Reader) readRecords(data []byte, h *batchHeader, d *Decoded, stored int) error {
	count := int(h.records)
	if count*minRecordSize > len(data) {
		return fmt.Errorf("a record batch says that it has %d records in %d bytes", count, len(data))
	}
	kept := len(d.Records)
	if cap(d.Records)-kept < count {
		d.reserve(kept + count + r.recordsAhead(r.Data[stored:], d.limit-d.Size-len(data), len(data), stored))
	}
	at, last := 0, h.base-1
	for left := count; left > 0; left-- {
		body, next := varbytes(data, at)
		if next > len(data) {
			d.Records = d.Records[:kept]
			return errRecordCut
		}
		at = next
		d.Records = d.Records[:len(d.Records)+1]
		record := &d.Records[len(d.Records)-1]
		*record = transport.Record{Topic: r.Topic, Partition: r.Partition, LeaderEpoch: h.leaderEpoch}
		if err := r.readRecord(body, h, record, &d.slab, cap(d.Records)-len(d.Records)+1); err != nil {
			d.Records = d.Records[:kept]
			return err
		}
		if record.Offset <= last || record.Offset >= h.next {
			d.Records = d.Records[:kept]
			return fmt.Errorf("a record says offset %d after %d in a batch up to %d", record.Offset, last, h.next-1)
		}
		last = record.Offset
		if record.Offset < d.Next {
			d.Records = d.Records[:len(d.Records)-1]
		}
	}
	return nil
}

// recordsAhead counts the records of the batches in data that a chunk with room
// for so many bytes will reach, so that it takes one allocation. Compression is
// taken to be that of the current batch.
func (r *Reader) recordsAhead(data []byte, room, decompressed, stored int) int {
	count := 0
	for room > 0 {
		size, err := batchSize(data)
		if err != nil || size == 0 || size > len(data) {
			return count
		}
		h, err := readBatchHeader(data)
		if err != nil {
			return count
		}
		expanded := size
		if h.codec() != 0 {
			expanded = int(int64(size) * int64(decompressed) / int64(stored))
		}
		if h.attributes&attributeControl == 0 {
			count += min(int(h.records), expanded/minRecordSize)
		}
		room -= max(expanded, 1)
		data = data[size:]
	}
	return count
}

// timeOf returns the time of a timestamp, zero for the −1 of a record that has
// none: it would be shown as a time of 1969.
func timeOf(timestamp int64) time.Time {
	if timestamp == -1 {
		return time.Time{}
	}
	return time.UnixMilli(timestamp)
}

// readRecord reads one record without its length. Keys and values alias b.
func (r *Reader) readRecord(b []byte, h *batchHeader, record *transport.Record, slab *headerSlab, left int) error {
	delta, at := varint(b, 1) // behind the attributes, which say nothing yet
	offset, at := varint(b, at)
	record.Offset = h.base + offset
	if h.attributes&attributeLogAppendTime != 0 {
		record.Time = timeOf(h.maxTimestamp)
	} else {
		record.Time = timeOf(h.baseTimestamp + delta)
	}
	record.Key, at = varbytes(b, at)
	record.Value, at = varbytes(b, at)
	count, at := varint(b, at)
	if at > len(b) || count < 0 || count > int64(len(b)-at)/2 {
		return errRecordCut
	}
	if count == 0 {
		return nil
	}
	headers := slab.take(int(count), left)
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

// readMarker reads a control batch: an abort marker ends the producer's aborted
// transaction. Markers of other kinds say nothing to a reader.
func (r *Reader) readMarker(data []byte, h *batchHeader) error {
	if h.records == 0 || r.Aborting == nil {
		return nil // compaction removed the marker, or nobody looks
	}
	_, at := varint(data, 0)
	_, at = varint(data, at+1) // behind the attributes
	_, at = varint(data, at)
	key, _ := varbytes(data, at)
	if len(key) < 4 {
		return errRecordCut
	}
	if kind := binary.BigEndian.Uint16(key[2:]); kind == 0 {
		// Transactions that began at or before this marker are over with it,
		// also if none of their batches was seen on the way here.
		r.isAborted(h)
		delete(r.Aborting, h.producer)
	}
	return nil
}

// isAborted reports whether a batch belongs to an aborted transaction.
func (r *Reader) isAborted(h *batchHeader) bool {
	if r.Aborting == nil {
		return false
	}
	for len(r.Aborted) > 0 && r.Aborted[0].First < h.next {
		r.Aborting[r.Aborted[0].Producer] = struct{}{}
		r.Aborted = r.Aborted[1:]
	}
	if h.attributes&AttributeTransactional == 0 {
		return false
	}
	_, aborted := r.Aborting[h.producer]
	return aborted
}

// cut is where reading goes on after data that ends too early: behind all data,
// so that what is read next fails too, and one look at the end tells.
const cut = math.MaxInt / 2

// varint reads a zigzag number of b at a place, and returns the place after it.
func varint(b []byte, at int) (int64, int) {
	if uint(at) < uint(len(b)) {
		if c := b[at]; c < 0x80 { // most are of one byte
			return int64(c>>1) ^ -int64(c&1), at + 1
		}
		if v, n := binary.Varint(b[at:]); n > 0 {
			return v, at + n
		}
	}
	return 0, cut
}

// varbytes reads bytes with their size before them, nil if that is −1.
func varbytes(b []byte, at int) ([]byte, int) {
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

// Cut drops the records at offset end and after it.
func (d *Decoded) Cut(end int64) {
	if d.Next > end {
		d.Next = end
		d.Records = slices.DeleteFunc(d.Records, func(r transport.Record) bool { return r.Offset >= end })
	}
}

// Release returns the memory of the records and of what was decompressed.
func (d *Decoded) Release() {
	d.giveBack()
	for _, b := range d.buffers {
		b.Release()
	}
	d.buffers = nil
}
