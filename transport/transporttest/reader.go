package transporttest

import (
	"context"
	"fmt"

	"github.com/eventbus-go/eventbus/transport"
)

// reading is a reader of the suite. It holds the transport to what Reader promises,
// and keeps what it got.
type reading struct {
	// A reading has no lock: one goroutine polls, and the test looks at it only when none does.
	r       *run
	reader  transport.Reader
	next    map[transport.Partition]int64 // −1 until the first batch
	records map[transport.Partition][]transport.Record
}

// reader opens one, and closes it after the test.
func (r *run) reader(config transport.ReaderConfig) *reading {
	r.Helper()
	reader, err := r.NewReader(config)
	if err != nil {
		r.Fatalf("NewReader: %v", err)
	}
	d := &reading{r: r, reader: reader, next: make(map[transport.Partition]int64), records: make(map[transport.Partition][]transport.Record)}
	// −1 and not From: the first batch may begin later than asked for. A partition that is
	// absent was not asked for.
	for p := range config.From {
		d.next[p] = -1
	}
	r.Cleanup(d.close)
	return d
}

// close closes the reader. A test may do so earlier: closing twice is not an error.
func (d *reading) close() {
	d.r.Helper()
	d.r.within("closing a reader", d.reader.Close)
}

// from reads partitions of one topic, all from that offset.
// It sets no To: such a reader waits at the end. The caller may change the maps.
func from(topic string, partitions int32, offset int64) transport.ReaderConfig {
	config := transport.ReaderConfig{From: make(map[transport.Partition]int64)}
	for n := range partitions {
		config.From[at(topic, n)] = offset
	}
	return config
}

// poll takes what comes next.
func (d *reading) poll(ctx context.Context) error {
	batches, err := d.reader.Poll(ctx)
	seen := make(map[transport.Partition]bool)
	for i := range batches {
		if seen[batches[i].Partition] {
			d.r.Errorf("Poll returned two batches of %v", batches[i].Partition)
		}
		seen[batches[i].Partition] = true
		d.take(&batches[i])
	}
	return err
}

// take checks one batch and keeps its records.
func (d *reading) take(b *transport.Batch) {
	if b.Release != nil {
		defer b.Release()
	}
	next, asked := d.next[b.Partition]
	// No test truncates a log under a reader, so batches join without a gap here.
	if !asked || next >= 0 && b.From != next || b.Next < b.From || b.Epoch != 0 {
		d.r.Errorf("%v: a batch of [%d, %d) under epoch %d, want one from %d", b.Partition, b.From, b.Next, b.Epoch, next)
	}
	d.next[b.Partition] = b.Next
	// Offsets rise, and all lie in the span that the batch says it covers.
	last := b.From - 1
	for _, record := range b.Records {
		if record.Offset <= last || record.Offset >= b.Next || record.Topic != b.Topic || record.Partition != b.Partition.Partition {
			d.r.Errorf("%v: record %s/%d@%d after offset %d in [%d, %d)", b.Partition, record.Topic, record.Partition, record.Offset, last, b.From, b.Next)
		}
		last = record.Offset
		d.records[b.Partition] = append(d.records[b.Partition], clone(record))
	}
}

// await polls until n records of a partition have come, and returns them.
func (d *reading) await(p transport.Partition, n int) []transport.Record {
	d.r.Helper()
	d.r.within(fmt.Sprintf("reading %d records of %v", n, p), func(ctx context.Context) error {
		for len(d.records[p]) < n {
			if err := d.poll(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	return d.records[p]
}

// refusal polls until Poll fails, and returns its error: the context's if Poll never fails
// otherwise.
func (d *reading) refusal() error {
	ctx, cancel := d.r.patience()
	defer cancel()
	for {
		if err := d.poll(ctx); err != nil {
			return err
		}
	}
}
