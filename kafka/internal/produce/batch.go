package produce

import (
	"slices"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/transport"
)

// pending is a record that was accepted and has no outcome yet.
type pending struct {
	done      transport.Completion // may be nil
	timestamp int64                // milliseconds
	at        int32                // where in batch.raw it begins
	size      int32                // of credit
}

// partitionBatch is records of one partition, encoded as they were accepted, that are
// sent together. It belongs to the partition's lock while it is being filled,
// and to the sender afterwards.
type partitionBatch struct {
	raw      *batch.Buffer // the fixed part, to be filled in, and the records
	packed   *batch.Buffer // the same compressed; nil if that was not done or is no smaller
	records  []pending
	first    int64 // timestamp of the first record
	last     int64 // the highest timestamp
	held     int64 // credit of the records
	usual    int   // size of the partition's batch before
	deadline time.Time
	// refused counts records that were taken out with an outcome of their own;
	// a Flush waits for the rest of the batch before it counts them.
	refused int

	// What follows is about sending.
	compressed bool                  // whether compression was tried
	stamped    bool                  // whether the fixed part is filled in
	session    batch.ProducerSession // in the stamp
	sequence   int32                 // in the stamp
	attempts   int
	// maybeAppended is set once a broker may have appended the batch without our
	// knowing. It is then sent again with the same bytes and nothing else,
	// until a broker's answer excludes that.
	maybeAppended bool
	// doubted is set if the batch that this one was split from may be in the log.
	// It is sent with the first sequence number of that batch, so the answer shows it:
	// a log that has the whole refuses the part.
	doubted bool
	// written is set if the broker has said that it appended the batch while one before it
	// failed, whose place in the log it can't have.
	written bool
}

// perhapsWritten reports whether the log may have something of the batch.
func (b *partitionBatch) perhapsWritten() bool { return b.maybeAppended || b.doubted }

var batches = sync.Pool{New: func() any { return new(partitionBatch) }}

// newBatch returns an empty batch.
func newBatch(deadline time.Time) *partitionBatch {
	b := batches.Get().(*partitionBatch)
	b.raw = batch.NewBuffer(batch.HeaderSize)
	b.deadline = deadline
	return b
}

// recycle gives the batch's memory back. Nothing may refer to it any more, nor to its
// bytes: a request that carries them must have been written, or given up with its
// connection. A list of records that grew large is dropped, so that one burst does not
// hold memory for the life of the process.
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

// size returns the bytes of the batch before compression. Bounds are held against it,
// since what compression will gain is not known while the batch is filled.
func (b *partitionBatch) size() int { return len(b.raw.Bytes) }

// fits reports whether a record with that content still belongs into a batch of
// at most limit bytes. The first one always does.
func (b *partitionBatch) fits(content, limit int) bool {
	return len(b.records) == 0 || b.size()+content+maxRecordHead <= limit
}

// maxRecordHead is the most that a record takes beside its content: its length,
// attributes and deltas.
const maxRecordHead = 5 + 1 + 10 + 5

// add encodes a record into the batch. Nothing of r is kept: its bytes are copied, as
// the contract of transport.Producer demands.
func (b *partitionBatch) add(r *transport.Record, content int, timestamp int64, held int, done transport.Completion) {
	at := b.open(content, timestamp)
	delta, index := timestamp-b.first, int64(len(b.records))
	b.raw.Bytes = batch.AppendRecord(b.raw.Bytes, r, batch.RecordSize(content, delta, index), delta, index)
	b.close(pending{done: done, timestamp: timestamp, at: at, size: int32(held)})
}

// move encodes record i of another batch into this one. Its head is written again,
// because it holds the record's place and time relative to the first one.
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

// open extends the memory for a record, and returns where it begins.
func (b *partitionBatch) open(content int, timestamp int64) int32 {
	if len(b.records) == 0 {
		b.first, b.last = timestamp, timestamp
	}
	b.last = max(b.last, timestamp)
	// The partition's last batch is a good guess of this one's size: growing by doubling
	// would copy what is there several times. Within bounds, since many partitions that once
	// were busy would take far more memory than the records that wait.
	if need := len(b.raw.Bytes) + content + maxRecordHead; need > cap(b.raw.Bytes) {
		larger := batch.NewBuffer(max(need, 2*cap(b.raw.Bytes), min(b.usual, mostGrowth*need)))
		larger.Bytes = larger.Bytes[:copy(larger.Bytes, b.raw.Bytes)]
		b.raw.Release()
		b.raw = larger
	}
	return int32(len(b.raw.Bytes))
}

// mostGrowth is how many times as much memory as it needs a batch takes at most, for the
// records to come.
const mostGrowth = 16

// close notes the record that open began. Its completion and its credit belong to the
// batch from here on.
func (b *partitionBatch) close(p pending) {
	b.records = append(b.records, p)
	b.held += int64(p.size)
}

// wire returns what is sent: the compressed form, where compression gained anything.
// It is the batch's own memory.
func (b *partitionBatch) wire() []byte {
	if b.packed != nil {
		return b.packed.Bytes
	}
	return b.raw.Bytes
}

// pack compresses the records, once. A batch that doesn't get smaller is sent
// as it is.
func (b *partitionBatch) pack(c *batch.Compression) {
	if c.Codec == 0 || b.compressed {
		return
	}
	b.compressed = true
	// The compressed form is no larger than that, or it is not used.
	packed := batch.NewBuffer(b.size())
	out, err := c.Compress(packed.Bytes[:batch.HeaderSize], b.raw.Bytes[batch.HeaderSize:])
	packed.Bytes = out
	if err != nil || len(out) >= b.size() {
		packed.Release()
		return
	}
	b.packed = packed
}

// stamp makes the batch ready to be sent under a session. A batch that is
// stamped stays as it is, so that sending it again sends the same bytes.
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

// split moves the records that keep is true for into new batches, one for each
// half of them, or a single one if whole is set. The order stays.
func (b *partitionBatch) split(keep func(i int) bool, whole bool) []*partitionBatch {
	var kept []int
	for i := range b.records {
		if keep(i) {
			kept = append(kept, i)
		}
	}
	half := len(kept)
	if !whole {
		// Two parts, the first one the larger if their number is odd.
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
