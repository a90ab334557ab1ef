package fetch

import (
	"context"
	"io"
	"slices"
	"sort"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/transport"
)

const (
	// pollPartitionBytes and pollBytes bound, roughly, the decompressed size of what one Poll
	// returns: per partition, and in total.
	pollPartitionBytes = 256 << 10
	pollBytes          = 1 << 20
)

// pick is a piece that Poll decodes from, with the result. It retains the piece's memory from
// picks to the end of poll, whatever happens to the partition meanwhile.
type pick struct {
	partition *partition
	piece     *fetched
	done      bool // decoded or err is set
	decoded   batch.Decoded
	err       error // a *batch.Fault: the next records can't be read
}

// Await returns fetched batches. It waits until there are some, ctx ends, or closing is closed.
// It returns ctx's error, transport.ErrClosed or, in a reader, the error of readerEnd; a
// consumer waits out everything else. Only one goroutine at a time may call it. The caller owns
// the batches until it calls their Release.
func (f *Fetcher) Await(ctx context.Context, closing <-chan struct{}) ([]transport.Batch, error) {
	for {
		select {
		case <-closing:
			return nil, transport.ErrClosed
		default:
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		// Return fetched batches before a reader's end or error.
		if batches := f.poll(); len(batches) > 0 {
			return batches, nil
		}
		if err := f.readerEnd(); err != nil {
			return nil, err
		}
		select {
		// The signal may be for batches that poll has already returned: then wait again.
		case <-f.ready:
		case <-ctx.Done():
		case <-closing:
		}
	}
}

// readerEnd returns why a reader has nothing more to wait for: the error of a partition that
// can't be read, or io.EOF once all have been read to their ends. It returns nil in a consumer.
func (f *Fetcher) readerEnd() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Recreated != nil || f.fatal != nil {
		return f.fatal
	}
	if slices.ContainsFunc(f.order, func(p *partition) bool { return p.next < p.end }) {
		return nil
	}
	return io.EOF
}

// poll returns fetched batches, at most one per partition, without waiting. It may return none
// although some were queued, if they can't be read or were revoked.
func (f *Fetcher) poll() []transport.Batch {
	picks := f.picks()
	if len(picks) == 0 {
		return nil
	}
	// Decode without the mutex, since that is most of the work. Only Poll uses the readers, and
	// a piece that is dropped meanwhile keeps the memory that is retained here.
	//
	// size counts the memory that this poll takes. The first piece always gets its whole part,
	// so that a poll returns at least one batch.
	size := 0
	for i := range picks {
		c := &picks[i]
		if !c.done && size < pollBytes {
			c.decoded, c.err = c.piece.reader.Read(pollPartitionBytes)
			c.done = true
		}
		size += c.decoded.Size + c.piece.reader.Memory()
	}
	batches := make([]transport.Batch, 0, len(picks))
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range picks {
		piece := picks[i].piece
		piece.reading, piece.retained = false, piece.reader.Memory()
		if picks[i].done {
			if b, ok := f.batchOf(&picks[i]); ok {
				batches = append(batches, b)
			}
		}
		if p := picks[i].partition; len(p.queue) == 0 || p.queue[0] != piece {
			piece.reader.Close() // dropped during the read, or just now
		}
		piece.memory.buffer.Release()
	}
	Signal(f.wake)
	return batches
}

// picks takes the first piece of every partition that has one, and retains its memory.
// Partitions take turns in being first.
func (f *Fetcher) picks() []pick {
	f.mu.Lock()
	defer f.mu.Unlock()
	var picks []pick
	// The next poll begins after the first partition picked now.
	begin := f.pollTurn
	full := f.crowded()
	for i := range f.order {
		at := (begin + i) % len(f.order)
		p := f.order[at]
		// While too many batches are partly decompressed, continue only those: each one gives
		// its memory back at its end.
		if !p.pollable() || full && p.queue[0].retained == 0 {
			continue
		}
		if len(picks) == 0 {
			f.pollTurn = at + 1
		}
		c := pick{partition: p, piece: p.queue[0]}
		c.piece.reading = true
		c.piece.memory.buffer.Retain()
		// An earlier poll decoded this, and then the partition was paused.
		if d := c.piece.unreturned; d != nil {
			c.decoded, c.done, c.piece.unreturned = *d, true, nil
		}
		picks = append(picks, c)
	}
	return picks
}

// crowded reports whether partly decompressed batches keep so much memory that they must be read
// to their ends before another is begun. Those of paused partitions give their memory back
// first, and are decompressed again later. f.mu is held.
func (f *Fetcher) crowded() bool {
	retained, going := 0, false
	for _, p := range f.order {
		if len(p.queue) > 0 {
			retained += p.queue[0].retained
			going = going || p.queue[0].retained > 0 && p.pollable()
		}
	}
	if retained <= f.limit/2 {
		return false
	}
	for _, p := range f.order {
		if len(p.queue) > 0 && p.queue[0].retained > 0 && !p.pollable() {
			p.queue[0].reader.Close()
			p.queue[0].retained = 0
		}
	}
	return going
}

// batchOf returns the decoded records as a batch. It returns false if the partition was revoked,
// moved or paused meanwhile. f.mu is held.
func (f *Fetcher) batchOf(c *pick) (transport.Batch, bool) {
	p, piece, d := c.partition, c.piece, &c.decoded
	switch {
	case len(p.queue) == 0 || p.queue[0] != piece || p.revoked:
		d.Release()
		return transport.Batch{}, false
	case c.err != nil:
		f.moveTo(p, p.next)
		f.unreadable(p, c.err, time.Now())
		return transport.Batch{}, false
	case p.paused:
		piece.unreturned = d
		return transport.Batch{}, false
	}
	d.Cut(p.end)
	b := transport.Batch{
		Partition: p.Partition, Epoch: p.epoch, From: d.From, Next: d.Next, Records: d.Records,
		LastStable: piece.lastStable, HighWatermark: piece.highWatermark,
	}
	if len(d.Records) > 0 {
		b.Release = releaseOf(piece.memory.buffer, d)
	} else {
		d.Release()
	}
	p.next = d.Next
	p.passed()
	switch piece.left = len(piece.reader.Data); {
	case p.next == p.end:
		f.moveTo(p, p.end)
	case piece.left == 0:
		p.queue = slices.Delete(p.queue, 0, 1)
		f.drop(piece)
	}
	return b, b.From < b.Next
}

// releaseOf returns the Release of a batch. It releases the memory of the response, of the
// decompressed data, and of the records.
func releaseOf(response *batch.Buffer, d *batch.Decoded) func() {
	response.Retain()
	// Copy d: it points into the slice of picks, which is not kept.
	lent := *d
	return func() {
		lent.Release()
		response.Release()
	}
}

// abortedIn returns the aborted transactions of a response, sorted by their first offsets.
func abortedIn(part *kmsg.FetchResponseTopicPartition) []batch.AbortedTransaction {
	if len(part.AbortedTransactions) == 0 {
		return nil
	}
	aborted := make([]batch.AbortedTransaction, len(part.AbortedTransactions))
	for i, t := range part.AbortedTransactions {
		aborted[i] = batch.AbortedTransaction{Producer: t.ProducerID, First: t.FirstOffset}
	}
	// Not slices.SortFunc, which would link several more kB for this type.
	sort.Slice(aborted, func(i, k int) bool { return aborted[i].First < aborted[k].First })
	return aborted
}
