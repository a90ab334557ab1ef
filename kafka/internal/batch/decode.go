package batch

import (
	"encoding/binary"
	"fmt"

	"github.com/eventbus-go/eventbus/transport"
)

// minRecordSize is the least that one record takes: its length, attributes, two
// deltas, two sizes and the number of headers, one byte each.
const minRecordSize = 7

// recordSize and headerSize are the memory of a record without content and of a header
// without key and value, in bytes.
var (
	recordSize = (&transport.Record{}).Size()
	headerSize = (&transport.Record{Headers: make([]transport.Header, 1)}).Size() - recordSize
)

// Offsets that have no record, because compaction, an abort marker or an aborted
// transaction left them, are covered by a chunk's span and not returned.

// AbortedTransaction is a transaction whose records must not be returned: those of
// Producer from offset First up to its abort marker.
type AbortedTransaction struct{ Producer, First int64 }

// Reader decodes the record batches of one partition in one fetch response, chunk
// by chunk. It stops and goes on within a batch. It is not safe for concurrent use.
type Reader struct {
	Topic     string
	Partition int32
	Data      []byte // complete batches, from the one that is being read on
	Next      int64  // the offset of the next record to return
	// Aborted lists the aborted transactions whose start is not reached yet, by
	// their first offset. Aborting has the producers of those that have started
	// and not ended; it is nil for read_uncommitted.
	Aborted  []AbortedTransaction
	Aborting map[int64]struct{}
	Keys     *HeaderKeys // interns header keys; shared by all readers of a consumer
	// Bound is how many bytes of memory one record may take whatever its size in the
	// log. Half of it decompression may keep of earlier content. One that is below 16 MiB
	// counts as that.
	Bound int

	// opened is set from the first look at a batch until its last record was read or Close.
	opened bool
	batch  openBatch // that is being read, if opened
}

// openBatch is a batch whose records are being read.
// Close gives it up, and the Read that follows begins the batch again.
type openBatch struct {
	batchHeader
	content content
	size    int   // bytes of the batch as it is stored
	left    int   // records that were not read, by the header's word until they have been
	last    int64 // the offset of the last that was read; one before base at first
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
	Size    int // bytes of memory of the records, and of batches that were passed over
	limit   int // bytes to reach
}

// Read reads records until they take limit bytes of memory, at least one if there is
// any. When a batch can't be read further, what lies before the fault is returned, and
// the error, a *Fault, next time. The reader keeps memory while a batch is read: see Memory and
// Close.
func (r *Reader) Read(limit int) (Decoded, error) {
	d := Decoded{From: r.Next, Next: r.Next, limit: limit}
	// Small batches share a chunk.
	for d.Size < limit && len(r.Data) > 0 {
		if err := r.readBatch(&d); err != nil {
			r.Close() // to begin again where the fault is
			if d.Next > d.From {
				break
			}
			d.Release()
			return Decoded{From: d.From, Next: d.From}, faultOf(r.Data, d.From, err)
		}
	}
	r.Next = d.Next
	return d, nil
}

// Memory returns how many bytes the reader keeps to go on within a batch.
func (r *Reader) Memory() int {
	if r.batch.content.stream == nil {
		return 0
	}
	return r.batch.content.stream.memory
}

// Close gives up the memory of the batch that is being read. Another Read decompresses
// it again from its start, and goes on at Next.
func (r *Reader) Close() {
	if r.opened {
		r.batch.content.close()
		r.batch, r.opened = openBatch{}, false
	}
}

// readBatch adds the records of the first batch of Data to d, as many as d has room for.
func (r *Reader) readBatch(d *Decoded) error {
	if !r.opened {
		if passed, err := r.openBatch(d); err != nil || passed {
			return err
		}
	}
	if err := r.readRecords(d); err != nil || r.batch.left > 0 {
		return err
	}
	d.Next = r.batch.next
	d.Size += HeaderSize
	r.Data = r.Data[r.batch.size:]
	r.Close()
	return nil
}

// openBatch begins to read the first batch of Data, or passes it over, if no record of
// it is to be returned.
func (r *Reader) openBatch(d *Decoded) (passed bool, err error) {
	// The header is checked before the checksum, and both before anything is allocated.
	size, err := batchSize(r.Data)
	if err == nil && (size == 0 || size > len(r.Data)) {
		err = errRecordCut
	}
	if err != nil {
		return false, err
	}
	batch := r.Data[:size]
	h, err := readBatchHeader(batch)
	if err != nil {
		return false, err
	}
	if err := Check(batch); err != nil {
		return false, err
	}
	// Otherwise all of the batch lies before the offset that was asked for.
	if h.next > d.Next {
		switch {
		// Control batches are the transaction coordinator's, and no records of the topic.
		case h.attributes&attributeControl != 0:
			if err := r.readMarker(batch[HeaderSize:], &h); err != nil {
				return false, err
			}
		case r.isAborted(&h):
		default:
			r.batch = openBatch{batchHeader: h, size: size, left: int(h.records), last: h.base - 1}
			r.opened = true
			// Compaction may leave a batch without records, which covers its offsets all the same.
			if h.records > 0 {
				r.batch.content, err = openContent(h.codec(), batch[HeaderSize:], r.batch.left, r.bound()/2)
			}
			if c := &r.batch.content; err == nil && c.stream == nil && r.batch.left*minRecordSize > len(c.data) {
				err = fmt.Errorf("a record batch says that it has %d records in %d bytes", r.batch.left, len(c.data))
			}
			return false, err
		}
		d.Next = h.next
		d.Size += size
	}
	r.Data = r.Data[size:]
	return true, nil
}

// readRecords appends records of the open batch from d.Next on until d is full.
// Records that lie in memory as a whole are the common case, and cost no copy.
func (r *Reader) readRecords(d *Decoded) error {
	b := &r.batch
	c := &b.content
	for b.left > 0 && d.Size < d.limit {
		if len(d.Records) == cap(d.Records) {
			r.reserve(d)
		}
		body, end := varbytes(c.data, 0)
		if end > len(c.data) {
			if err := r.readAcross(d); err != nil {
				return err
			}
		} else {
			c.data = c.data[end:]
			f, ok := readFields(body)
			if !ok {
				return errRecordCut
			}
			if err := r.add(d, body, &f, len(body)); err != nil {
				return err
			}
		}
		b.left--
	}
	return nil
}

// reserve makes room in d for the records that it will have, in one allocation if
// that can be known. The batch's own count of records is only trusted within the
// memory that d may take in any case.
func (r *Reader) reserve(d *Decoded) {
	b := &r.batch
	most := max(d.limit-d.Size, 0)/recordSize + 1
	n := b.left
	if room := d.limit - d.Size - len(b.content.data) - n*recordSize; b.content.stream == nil && room > 0 {
		n += r.recordsAhead(r.Data[b.size:], room, len(b.content.data), b.size)
	}
	d.reserve(len(d.Records) + min(n, most))
}

// recordsAhead counts the records of the batches in data that a chunk with room
// for so many bytes will reach, so that it takes one allocation. Compression is
// taken to be that of the current batch, of which stored bytes became decompressed.
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
		// A guess, which only decides how many records to make room for.
		expanded := size
		if h.codec() != 0 {
			expanded = int(int64(size) * int64(decompressed) / int64(stored))
		}
		if h.attributes&attributeControl == 0 {
			n := min(int(h.records), expanded/minRecordSize)
			count += n
			room -= n * recordSize
		}
		room -= max(expanded, 1)
		data = data[size:]
	}
	return count
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
	// The key of a marker is a version and a type: 0 aborts, 1 commits.
	if kind := binary.BigEndian.Uint16(key[2:]); kind == 0 {
		// Transactions that began at or before this marker are over with it,
		// also if none of their batches was seen on the way here.
		r.isAborted(h)
		delete(r.Aborting, h.producer)
	}
	return nil
}

// isAborted reports whether a batch belongs to an aborted transaction.
// Batches come in order of offsets and Aborted in that of first offsets, so each
// transaction is noted when the batches reach its begin.
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

// Cut drops the records at offset end and after it. Their memory stays until Release.
func (d *Decoded) Cut(end int64) {
	if d.Next > end {
		d.Next = end
		n := len(d.Records)
		for n > 0 && d.Records[n-1].Offset >= end {
			n--
		}
		clear(d.Records[n:])
		d.Records = d.Records[:n]
	}
}

// Release returns the memory of the records and of what was decompressed. It must be
// called once; the response itself has other users, and is released by its owner.
func (d *Decoded) Release() {
	d.giveBack()
	for _, b := range d.buffers {
		b.Release()
	}
	d.buffers = nil
}

// hold keeps the buffer that records lie in until Release. A nil buffer is none.
// Records of one buffer mostly come one after another, so the last is looked at alone.
func (d *Decoded) hold(b *Buffer) {
	if b == nil || len(d.buffers) > 0 && d.buffers[len(d.buffers)-1] == b {
		return
	}
	b.Retain()
	d.buffers = append(d.buffers, b)
}
