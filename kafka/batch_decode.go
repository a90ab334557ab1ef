package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// minRecordSize is the least that one record takes: its length, attributes, two
// deltas, two sizes and the number of headers, one byte each.
const minRecordSize = 7

var errRecordCut = errors.New("a record ends in the middle")

// abortedTransaction is a transaction of which nothing may be delivered: the
// producer's records from first on, up to its abort marker.
type abortedTransaction struct{ producer, first int64 }

// batchReader reads the record batches that one fetch brought of one partition,
// a chunk at a time. It belongs to one goroutine.
type batchReader struct {
	topic     string
	partition int32
	data      []byte // complete batches that are not read yet
	next      int64  // the offset that comes next
	// aborted are the transactions still ahead, by rising first offset, and
	// aborting the producers in the midst of one. Nil for read_uncommitted.
	aborted  []abortedTransaction
	aborting map[int64]struct{}
	keys     *headerKeys
}

// decoded is a chunk of a partition's log.
type decoded struct {
	from, next int64
	// records and their headers lie in memory, if there are many, keys and values in
	// the data, or in buffers if they were compressed. Whoever uses the records
	// releases it all.
	records []transport.Record
	memory  *recordMemory
	buffers []*fetchBuffer
	slab    headerSlab
	size    int // bytes of the batches, decompressed
	limit   int // bytes to reach
}

// read takes batches off the data until they make up limit bytes decompressed,
// at least one if there is any. When a batch can't be read, those before it are
// returned, and the error next time.
func (r *batchReader) read(limit int) (decoded, error) {
	d := decoded{from: r.next, next: r.next, limit: limit}
	for start := len(r.data); d.size < limit && len(r.data) > 0; {
		length, err := batchSize(r.data)
		if err == nil && (length == 0 || length > len(r.data)) {
			err = errRecordCut
		}
		if err == nil {
			err = r.readBatch(r.data[:length], &d)
		}
		if err != nil {
			if len(r.data) < start {
				break
			}
			return d, fmt.Errorf("%s/%d at offset %d: %w", r.topic, r.partition, d.next, err)
		}
		r.data = r.data[length:]
	}
	r.next = d.next
	return d, nil
}

// readBatch adds one whole batch to d.
func (r *batchReader) readBatch(batch []byte, d *decoded) error {
	h, err := readBatchHeader(batch)
	if err != nil {
		return err
	}
	if err := checkBatch(batch); err != nil {
		return err
	}
	if h.next <= d.next {
		return nil // it ends before what was asked for
	}
	data := batch[batchHeaderSize:]
	switch {
	case h.attributes&attributeControl != 0:
		if err := r.readMarker(data, &h); err != nil {
			return err
		}
	case r.isAborted(&h):
	case h.codec() != 0 && h.records > 0:
		buffer, err := decompress(h.codec(), data)
		if err != nil {
			return err
		}
		data = buffer.b
		if err := r.readRecords(data, &h, d, len(batch)); err != nil {
			buffer.release()
			return err
		}
		d.buffers = append(d.buffers, buffer)
	default:
		if err := r.readRecords(data, &h, d, len(batch)); err != nil {
			return err
		}
	}
	d.next = h.next
	d.size += batchHeaderSize + len(data)
	return nil
}

// readRecords appends the records of a batch from d.next on. The batch is of
// that size as it was stored.
func (r *batchReader) readRecords(data []byte, h *batchHeader, d *decoded, stored int) error {
	count := int(h.records)
	if count*minRecordSize > len(data) {
		return fmt.Errorf("a record batch says that it has %d records in %d bytes", count, len(data))
	}
	kept := len(d.records)
	if cap(d.records)-kept < count {
		d.reserve(kept + count + r.recordsAhead(r.data[stored:], d.limit-d.size-len(data), len(data), stored))
	}
	at, last := 0, h.base-1
	for left := count; left > 0; left-- {
		body, next := varbytes(data, at)
		if next > len(data) {
			d.records = d.records[:kept]
			return errRecordCut
		}
		at = next
		d.records = d.records[:len(d.records)+1]
		record := &d.records[len(d.records)-1]
		*record = transport.Record{Topic: r.topic, Partition: r.partition, LeaderEpoch: h.leaderEpoch}
		if err := r.readRecord(body, h, record, &d.slab, cap(d.records)-len(d.records)+1); err != nil {
			d.records = d.records[:kept]
			return err
		}
		if record.Offset <= last || record.Offset >= h.next {
			d.records = d.records[:kept]
			return fmt.Errorf("a record says offset %d after %d in a batch up to %d", record.Offset, last, h.next-1)
		}
		last = record.Offset
		if record.Offset < d.next {
			d.records = d.records[:len(d.records)-1]
		}
	}
	return nil
}

// recordsAhead counts the records of the batches in data that a chunk with room
// for so many bytes will reach, so that it takes one allocation. Compression is
// taken to be that of the batch at hand.
func (r *batchReader) recordsAhead(data []byte, room, decompressed, stored int) int {
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

// readRecord reads one record without its length. Keys and values alias b.
func (r *batchReader) readRecord(b []byte, h *batchHeader, record *transport.Record, slab *headerSlab, left int) error {
	delta, at := varint(b, 1) // behind the attributes, which say nothing yet
	offset, at := varint(b, at)
	record.Offset = h.base + offset
	if h.attributes&attributeLogAppendTime != 0 {
		record.Time = time.UnixMilli(h.maxTimestamp)
	} else {
		record.Time = time.UnixMilli(h.baseTimestamp + delta)
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
		headers[i].Key = r.keys.intern(i, key)
	}
	if at > len(b) {
		return errRecordCut
	}
	record.Headers = headers
	return nil
}

// readMarker reads a control batch: an abort marker ends the producer's aborted
// transaction. Markers of other kinds say nothing to a reader.
func (r *batchReader) readMarker(data []byte, h *batchHeader) error {
	if h.records == 0 || r.aborting == nil {
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
		delete(r.aborting, h.producer)
	}
	return nil
}

// isAborted tells whether a batch belongs to an aborted transaction.
func (r *batchReader) isAborted(h *batchHeader) bool {
	if r.aborting == nil {
		return false
	}
	for len(r.aborted) > 0 && r.aborted[0].first < h.next {
		r.aborting[r.aborted[0].producer] = struct{}{}
		r.aborted = r.aborted[1:]
	}
	if h.attributes&attributeTransactional == 0 {
		return false
	}
	_, aborted := r.aborting[h.producer]
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
