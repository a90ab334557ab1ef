package produce

import (
	"slices"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/transport"
)

// pending is an accepted record without an outcome.
type pending struct {
	done      transport.Completion // may be nil
	timestamp int64                // milliseconds
	at        int32                // its position in batch.raw
	size      int32                // its credit
}

// partitionBatch holds records of one partition that are sent together, encoded as they were
// accepted. The partition's lock guards it while it is being filled; then it belongs to the sender.
type partitionBatch struct {
	raw      *batch.Buffer // the fixed part, filled in later, and the records
	packed   *batch.Buffer // the same, compressed; nil if that was not tried or is no smaller
	records  []pending
	first    int64 // timestamp of the first record
	last     int64 // the highest timestamp
	held     int64 // the records' credit
	usual    int   // size of the partition's previous batch
	deadline time.Time
	// refused counts records that were removed with an outcome of their own. A Flush counts
	// them only once the rest of the batch is complete.
	refused int

	// The fields below are about sending.
	compressed bool                  // whether compression was tried
	stamped    bool                  // whether the fixed part is filled in
	session    batch.ProducerSession // in the stamp
	sequence   int32                 // in the stamp
	attempts   int
	// maybeAppended is set once a broker may have appended the batch without our knowing.
	// The batch is then only sent again with the same bytes, until a broker's answer rules
	// that out.
	maybeAppended bool
	// doubted is set if the batch from which this one was split may be in the log. This
	// batch is sent with the first sequence number of that one, so the answer shows it: a
	// log that has the whole refuses the part.
	doubted bool
	// written is set if the broker has said that it appended the batch although an earlier
	// one failed. The log then has no place for the earlier one any more.
	written bool
}

// perhapsWritten reports whether part of the batch may be in the log.
func (b *partitionBatch) perhapsWritten() bool { return b.maybeAppended || b.doubted }

var batches = sync.Pool{New: func() any { return new(partitionBatch) }}

// newBatch returns an empty batch.
func newBatch(deadline time.Time) *partitionBatch {
	b := batches.Get().(*partitionBatch)
	b.raw = batch.NewBuffer(batch.HeaderSize)
	b.deadline = deadline
	return b
}

// recycle returns the batch's memory to the pool. Nothing may refer to it or to its bytes any
// more: a request that carries them must have been written, or given up with its connection. A
// large list of records is dropped, so that one burst does not hold memory for the life of the
// process.
func (b *partitionBatch) recycle() {
	b.raw.Release()
	if b.packed != nil {
		b.packed.Release()
	}
	clear(b.records)
	records := b.records[:0]
	if cap(records) > 16<<10 {
		records = nil
	}
	*b = partitionBatch{records: records}
	batches.Put(b)
}

// size returns the bytes of the batch before compression. Bounds apply to it, since the effect
// of compression is unknown while the batch is filled.
func (b *partitionBatch) size() int { return len(b.raw.Bytes) }

// fits reports whether a record with that content fits into a batch of at most limit bytes. The
// first record always does.
func (b *partitionBatch) fits(content, limit int) bool {
	return len(b.records) == 0 || b.size()+content+maxRecordHead <= limit
}

// maxRecordHead is the most that a record takes besides its content: length, attributes and
// deltas.
const maxRecordHead = 5 + 1 + 10 + 5

// add encodes a record into the batch. It keeps nothing of r, as transport.Producer requires.
func (b *partitionBatch) add(r *transport.Record, content int, timestamp int64, held int, done transport.Completion) {
	at := b.open(content, timestamp)
	delta, index := timestamp-b.first, int64(len(b.records))
	b.raw.Bytes = batch.AppendRecord(b.raw.Bytes, r, batch.RecordSize(content, delta, index), delta, index)
	b.close(pending{done: done, timestamp: timestamp, at: at, size: int32(held)})
}

// move encodes record i of another batch into this one. It writes the record's head again, which
// has position and time relative to the first record.
func (b *partitionBatch) move(from *partitionBatch, i int) {
	p := from.records[i]
	content, _ := batch.CutRecord(from.raw.Bytes[p.at:])
	at := b.open(len(content), p.timestamp)
	delta, index := p.timestamp-b.first, int64(len(b.records))
	b.raw.Bytes = batch.AppendRecordHead(b.raw.Bytes, batch.RecordSize(len(content), delta, index), delta, index)
	b.raw.Bytes = append(b.raw.Bytes, content...)
	p.at = at
	b.close(p)
}

// open makes room for a record and returns its position.
func (b *partitionBatch) open(content int, timestamp int64) int32 {
	if len(b.records) == 0 {
		b.first, b.last = timestamp, timestamp
	}
	b.last = max(b.last, timestamp)
	// The size of the partition's previous batch is a good estimate: growing by doubling would
	// copy the records several times. It is bounded, since many partitions that were once busy
	// would otherwise take far more memory than their waiting records.
	if need := len(b.raw.Bytes) + content + maxRecordHead; need > cap(b.raw.Bytes) {
		larger := batch.NewBuffer(max(need, 2*cap(b.raw.Bytes), min(b.usual, mostGrowth*need)))
		larger.Bytes = larger.Bytes[:copy(larger.Bytes, b.raw.Bytes)]
		b.raw.Release()
		b.raw = larger
	}
	return int32(len(b.raw.Bytes))
}

// mostGrowth bounds the memory that a batch takes for future records, as a multiple of what it
// needs now.
const mostGrowth = 16

// close adds the record that open began. From here on its completion and its credit belong to
// the batch.
func (b *partitionBatch) close(p pending) {
	b.records = append(b.records, p)
	b.held += int64(p.size)
}

// wire returns the bytes to send: the compressed form if it is smaller. They are the batch's own
// memory.
func (b *partitionBatch) wire() []byte {
	if b.packed != nil {
		return b.packed.Bytes
	}
	return b.raw.Bytes
}

// pack compresses the records, once. If the result is no smaller, the batch is sent uncompressed.
func (b *partitionBatch) pack(c *batch.Compression) {
	if c.Codec == 0 || b.compressed {
		return
	}
	b.compressed = true
	// A compressed form larger than this is not used.
	packed := batch.NewBuffer(b.size())
	out, err := c.Compress(packed.Bytes[:batch.HeaderSize], b.raw.Bytes[batch.HeaderSize:])
	packed.Bytes = out
	if err != nil || len(out) >= b.size() {
		packed.Release()
		return
	}
	b.packed = packed
}

// stamp fills in the fixed part for a session. A stamped batch does not change, so that sending it
// again sends the same bytes.
func (b *partitionBatch) stamp(c *batch.Compression, s batch.ProducerSession, sequence int32) {
	if b.stamped {
		return
	}
	b.pack(c)
	codec := c.Codec
	if b.packed == nil {
		codec = 0
	}
	b.stamped, b.session, b.sequence = true, s, sequence
	batch.Stamp(b.wire(), codec, len(b.records), b.first, b.last, s, sequence)
}

// split moves the records for which keep returns true into new batches: one for each half of them,
// or a single one if whole is set. Their order is kept.
func (b *partitionBatch) split(keep func(i int) bool, whole bool) []*partitionBatch {
	var kept []int
	for i := range b.records {
		if keep(i) {
			kept = append(kept, i)
		}
	}
	half := len(kept)
	if !whole {
		// Two parts; the first one has one more if the number is odd.
		half = (len(kept) + 1) / 2
	}
	var parts []*partitionBatch
	for part := range slices.Chunk(kept, max(half, 1)) {
		next := newBatch(b.deadline)
		for _, i := range part {
			next.move(b, i)
		}
		parts = append(parts, next)
	}
	return parts
}
