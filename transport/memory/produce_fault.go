package memory

import (
	"fmt"

	"github.com/eventbus-go/eventbus/transport"
)

// FailProduces makes the next n records written to a topic fail with err: they are not appended,
// and their completions get err. A negative n means no limit. Faults on one topic take effect
// one after another, in the order of the calls.
func (c *Cluster) FailProduces(topic string, n int, err error) {
	c.addFault(&produceFault{topic: topic, left: n, err: err})
}

// LoseAcknowledgements makes the next n records written to a topic end with an unknown outcome:
// they are appended, but their completions get ErrOutcomeUnknown. A negative n means no limit.
func (c *Cluster) LoseAcknowledgements(topic string, n int) {
	err := fmt.Errorf("%w: the acknowledgement was lost", transport.ErrOutcomeUnknown)
	c.addFault(&produceFault{topic: topic, left: n, copies: 1, err: err})
}

// DuplicateProduces makes the next n records written to a topic be appended twice, as by a
// retrying producer without idempotence. A negative n means no limit.
func (c *Cluster) DuplicateProduces(topic string, n int) {
	c.addFault(&produceFault{topic: topic, left: n, copies: 2})
}

// addFault adds a fault. The topic need not exist yet.
func (c *Cluster) addFault(f *produceFault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults.faults = append(c.faults.faults, f)
}

// StopProduceFaults ends the faults that FailProduces, LoseAcknowledgements and
// DuplicateProduces have set for a topic.
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
	// The copy keeps the record's time, as a retried request does.
	c.appended++
	l.append(&l.entries[i].Record, l.entries[i].Time, c.appended)
	c.change()
	return nil
}

// HoldAcknowledgements holds the outcomes of records written to a topic from now on. They are
// appended and consumers see them, but their completions are not called until release is, or
// until the producer's delivery timeout has passed, with ErrOutcomeUnknown. release may be called
// more than once.
func (c *Cluster) HoldAcknowledgements(topic string) (release func()) {
	h := &acknowledgementHold{topic: topic}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults.holds = append(c.faults.holds, h)
	return func() { c.releaseAcknowledgements(h) }
}

// releaseAcknowledgements settles and delivers the records of a hold. Records that the delivery
// timeout has already settled keep their outcome.
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
