package memory

import (
	"fmt"

	"github.com/eventbus-go/eventbus/transport"
)

// FailProduces makes the next n records that are written to a topic fail with err:
// they are not appended, and their completions hear err. A negative n has no end.
// Faults on one topic take effect one after another, in the order in which they
// were set.
func (c *Cluster) FailProduces(topic string, n int, err error) {
	c.addFault(&produceFault{topic: topic, left: n, err: err})
}

// LoseAcknowledgements makes the next n records that are written to a topic end
// with an unknown outcome though they are appended: their completions hear
// ErrOutcomeUnknown. A negative n has no end.
func (c *Cluster) LoseAcknowledgements(topic string, n int) {
	err := fmt.Errorf("%w: the acknowledgement was lost", transport.ErrOutcomeUnknown)
	c.addFault(&produceFault{topic: topic, left: n, copies: 1, err: err})
}

// DuplicateProduces makes the next n records that are written to a topic be appended
// twice, as a producer without idempotence does that retries. A negative n has no end.
func (c *Cluster) DuplicateProduces(topic string, n int) {
	c.addFault(&produceFault{topic: topic, left: n, copies: 2})
}

// The topic need not exist yet: a test may set the fault first.
func (c *Cluster) addFault(f *produceFault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults.faults = append(c.faults.faults, f)
}

// StopProduceFaults ends what FailProduces, LoseAcknowledgements and
// DuplicateProduces set for a topic.
func (c *Cluster) StopProduceFaults(topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults.stop(topic)
}

// Duplicate appends a copy of a record to the end of its partition.
func (c *Cluster) Duplicate(topic string, partition int32, offset int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, err := c.log(topic, partition)
	if err != nil {
		return err
	}
	i := l.index(offset)
	// Retention or compaction may have removed it.
	if i == len(l.entries) || l.entries[i].Offset != offset {
		return fmt.Errorf("%s: %w: no record at offset %d", l.Partition, transport.ErrRejected, offset)
	}
	// The copy keeps the time of the record, as that of a retried request does.
	c.appended++
	l.append(&l.entries[i].Record, l.entries[i].Time, c.appended)
	c.change()
	return nil
}

// HoldAcknowledgements keeps the outcomes of records that are written to a topic from
// now on: they are appended, and consumers see them, but their completions are not
// called until release is, or until the producer's delivery timeout has passed, with
// ErrOutcomeUnknown. Release may be called more than once.
func (c *Cluster) HoldAcknowledgements(topic string) (release func()) {
	h := &acknowledgementHold{topic: topic}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults.holds = append(c.faults.holds, h)
	return func() { c.releaseAcknowledgements(h) }
}

// What the delivery timeout has settled already keeps its outcome.
func (c *Cluster) releaseAcknowledgements(h *acknowledgementHold) {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := c.faults.release(h)
	for _, o := range waiting {
		o.settle(nil)
	}
	for _, o := range waiting {
		o.deliver()
	}
}
