package kafkatest

import (
	"context"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/lease"
	"github.com/eventbus-go/eventbus/transport"
)

// What a bus lends to handlers is overwritten as soon as it expires, on every kind of
// cluster: records at their batch's Release, envelopes when the handler returns. A
// handler that keeps them reads lease.Words from the first test on.

// lendBatches copies the records of batches. A batch's Release overwrites the copies
// before it calls the driver's Release.
func (c *Cluster) lendBatches(batches []transport.Batch) {
	for i := range batches {
		b := &batches[i]
		lent, partition, release := lease.Of(b.Records), b.Partition, b.Release
		b.Release = func() {
			if !lent.Release() {
				c.misused("the memory of records of %s was written to: records are the driver's until their release, and read only", partition)
			}
			if release != nil {
				release()
			}
		}
	}
}

// lendEnvelopes replaces a delivery's envelopes by copies for one attempt. takeBack
// overwrites the copies and restores the delivery's own envelopes for the next
// attempt.
func (c *Cluster) lendEnvelopes(d *eventbus.Delivery) (takeBack func()) {
	own := make([]*eventbus.Envelope, len(d.Events))
	copies := make([]eventbus.Envelope, len(d.Events))
	records := make([]transport.Record, len(d.Events))
	for i, e := range d.Events {
		own[i], copies[i] = e, *e
		// Only these three refer to memory that handlers could write to.
		records[i] = transport.Record{Key: e.Key, Value: e.Data, Headers: e.Headers}
	}
	lent := lease.Of(records)
	for i := range copies {
		copies[i].Key, copies[i].Data, copies[i].Headers = records[i].Key, records[i].Value, records[i].Headers
		d.Events[i] = &copies[i]
	}
	return func() {
		if !lent.Release() {
			c.misused("a handler of group %s wrote to the data, key or headers of an event on topic %s: they are read only, and the next attempt gets them too; Clone the Envelope to change it",
				d.Group, d.Topic)
		}
		for i := range copies {
			e := &copies[i]
			// The strings' memory can't be overwritten, so the fields are replaced.
			e.ID, e.Source, e.Type, e.Subject, e.Topic = lease.Words, lease.Words, lease.Words, lease.Words, lease.Words
			e.Partition, e.Offset, e.Time, e.Timestamp = -1, -1, time.Time{}, time.Time{}
		}
		copy(d.Events, own)
	}
}

// linkedReader is a reader that lends its records.
type linkedReader struct {
	transport.Reader
	cluster *Cluster
}

// Poll implements transport.Reader.
func (r *linkedReader) Poll(ctx context.Context) ([]transport.Batch, error) {
	batches, err := r.Reader.Poll(ctx)
	r.cluster.lendBatches(batches)
	return batches, err
}
