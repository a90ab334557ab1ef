package batch

import (
	"encoding/binary"
	"fmt"

	"github.com/eventbus-go/eventbus/transport"
)

// minRecordSize is the smallest size of a record: its length, attributes, two deltas, two sizes
// and the number of headers, one byte each.
const minRecordSize = 7

// recordSize and headerSize are the memory of a record without content and of a header without
// key and value, in bytes.
var (
	recordSize = (&transport.Record{}).Size()
	headerSize = (&transport.Record{Headers: make([]transport.Header, 1)}).Size() - recordSize
)

// A chunk's span includes offsets without a record, left by compaction, an abort marker or an
// aborted transaction.

// AbortedTransaction is a transaction whose records must not be returned: those of
// Producer from offset First up to its abort marker.
type AbortedTransaction struct{ Producer, First int64 }

// Reader decodes the record batches of one partition in one fetch response, chunk by chunk. It can
// stop and continue within a batch. It is not safe for concurrent use.
type Reader struct {
	Topic     string
	Partition int32
	Data      []byte // complete batches, from the current one on
	Next      int64  // the offset of the next record to return
	// Aborted lists the aborted transactions that have not been reached yet, by first offset.
	// Aborting has the producers of those that have begun and not ended; it is nil for
	// read_uncommitted.
	Aborted  []AbortedTransaction
	Aborting map[int64]struct{}
	Keys     *HeaderKeys // interns header keys; shared by all readers of a consumer
	// Bound is how many bytes of memory one record may take, whatever its size in the log.
	// Decompression may keep half as many bytes of earlier content. Values below 16 MiB count
	// as 16 MiB.
	Bound int

	// opened is set from the first look at a batch until its last record was read, or Close.
	opened bool
	batch  openBatch // the current batch, if opened
}

// openBatch is a batch whose records are being read. After Close, the next Read starts it again.
type openBatch struct {
	batchHeader
	content content
	size    int   // of the stored batch, in bytes
	left    int   // unread records, according to the header
	last    int64 // offset of the last record read; at first base−1
}

// Decoded is a chunk of a partition's log. Its user must call Release once.
type Decoded struct {
	From, Next int64 // the chunk covers the offsets [From, Next), which need not all have records
	// Records and their headers are in memory, pooled if there are many. Their keys and values
	// are in the fetch response or, if they were compressed, in buffers. All of it is valid
	// until Release.
	Records []transport.Record
	memory  *recordMemory
	buffers []*Buffer
	slab    headerSlab
	Size    int // memory of the records and of skipped batches, in bytes
	limit   int // for Size
}

// Read reads records until they take limit bytes of memory, at least one if there is any. If a
// batch can't be read further, Read returns what comes before the fault, and the error, a *Fault,
// on the next call. The reader keeps memory while it is within a batch; see Memory and Close.
func (r *Reader) Read(limit int) (Decoded, error) {
	d := Decoded{From: r.Next, Next: r.Next, limit: limit}
	// Small batches share a chunk.
	for d.Size < limit && len(r.Data) > 0 {
		if err := r.readBatch(&d); err != nil {
			r.Close() // start again at the fault
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

// Memory returns how many bytes the reader keeps in order to continue within a batch.
func (r *Reader) Memory() int {
	if r.batch.content.stream == nil {
		return 0
	}
	return r.batch.content.stream.memory
}

// Close releases the memory of the current batch. The next Read decompresses it again from its
// start, and continues at Next.
func (r *Reader) Close() {
	if r.opened {
		r.batch.content.close()
		r.batch, r.opened = openBatch{}, false
	}
}

// readBatch adds records of the first batch of Data to d, until d is full.
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

// openBatch opens the first batch of Data, or skips it if none of its records is to be returned.
func (r *Reader) openBatch(d *Decoded) (passed bool, err error) {
	// Check the header before the checksum, and both before allocating anything.
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
	// Otherwise the whole batch lies before the requested offset.
	if h.next > d.Next {
		switch {
		// Control batches belong to the transaction coordinator and have no records of the topic.
		case h.attributes&attributeControl != 0:
			if err := r.readMarker(batch[HeaderSize:], &h); err != nil {
				return false, err
			}
		case r.isAborted(&h):
		default:
			r.batch = openBatch{batchHeader: h, size: size, left: int(h.records), last: h.base - 1}
			r.opened = true
			// Compaction may leave a batch without records; it still covers its offsets.
			if h.records > 0 {
				r.batch.content, err = openContent(h.codec(), batch[HeaderSize:], r.batch.left, r.bound()/2)
			}
			if c := &r.batch.content; err == nil && c.stream == nil && r.batch.left*minRecordSize > len(c.data) {
				err = fmt.Errorf("a record batch claims to have %d records in %d bytes", r.batch.left, len(c.data))
			}
			return false, err
		}
		d.Next = h.next
		d.Size += size
	}
	r.Data = r.Data[size:]
	return true, nil
}

// readRecords appends records of the open batch from d.Next on until d is full. A record that is
// completely in memory, the common case, is not copied.
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

// reserve makes room in d for the records that it will get, in one allocation if their number is
// known. It trusts the batch's own count only within the memory that d may take in any case.
func (r *Reader) reserve(d *Decoded) {
	b := &r.batch
	most := max(d.limit-d.Size, 0)/recordSize + 1
	n := b.left
	if room := d.limit - d.Size - len(b.content.data) - n*recordSize; b.content.stream == nil && room > 0 {
		n += r.recordsAhead(r.Data[b.size:], room, len(b.content.data), b.size)
	}
	d.reserve(len(d.Records) + min(n, most))
}

// recordsAhead estimates how many records of the batches in data a chunk with room for that many
// bytes will take, so that one allocation is enough. It assumes the compression ratio of the
// current batch, whose stored bytes became decompressed bytes.
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
		// An estimate, used only to make room for records.
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

// readMarker reads a control batch. An abort marker ends the producer's aborted transaction; other
// markers mean nothing to a reader.
func (r *Reader) readMarker(data []byte, h *batchHeader) error {
	if h.records == 0 || r.Aborting == nil {
		return nil // compaction removed the marker, or aborted transactions are returned
	}
	_, at := varint(data, 0)
	_, at = varint(data, at+1) // after the attributes
	_, at = varint(data, at)
	key, _ := varbytes(data, at)
	if len(key) < 4 {
		return errRecordCut
	}
	// The key of a marker is a version and a type: 0 aborts, 1 commits.
	if kind := binary.BigEndian.Uint16(key[2:]); kind == 0 {
		// The marker ends transactions that began at or before it, even if none of their
		// batches was seen.
		r.isAborted(h)
		delete(r.Aborting, h.producer)
	}
	return nil
}

// isAborted reports whether a batch belongs to an aborted transaction. Batches come in order of
// offsets and Aborted is in order of first offsets, so each transaction is noted when the batches
// reach its beginning.
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

// Cut drops the records from offset end on. Their memory stays until Release.
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

// Release returns the memory of the records and of decompressed data. It must be called once. The
// response itself has other users; its owner releases it.
func (d *Decoded) Release() {
	d.giveBack()
	for _, b := range d.buffers {
		b.Release()
	}
	d.buffers = nil
}

// hold keeps the buffer of a record, if it is not nil, until Release. Records of one buffer mostly
// come one after another, so only the last buffer is compared.
func (d *Decoded) hold(b *Buffer) {
	if b == nil || len(d.buffers) > 0 && d.buffers[len(d.buffers)-1] == b {
		return
	}
	b.Retain()
	d.buffers = append(d.buffers, b)
}
