package memory

import (
	"fmt"
	"slices"

	"github.com/eventbus-go/eventbus/transport"
)

// produceFault is what happens to the next records of a topic.
type produceFault struct {
	topic  string
	left   int // records; negative: without end
	copies int // appended of each
	err    error
}

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

func (c *Cluster) addFault(f *produceFault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, f)
}

// StopProduceFaults ends what FailProduces, LoseAcknowledgements and
// DuplicateProduces set for a topic.
func (c *Cluster) StopProduceFaults(topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = slices.DeleteFunc(c.faults, func(f *produceFault) bool { return f.topic == topic })
}

// fault is the one that the next record of a topic meets. c.mu is held.
func (c *Cluster) fault(topic string) *produceFault {
	for _, f := range c.faults {
		if f.topic == topic && f.left != 0 {
			f.left--
			return f
		}
	}
	return nil
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
	if i == len(l.entries) || l.entries[i].Offset != offset {
		return fmt.Errorf("%s: %w: no record at offset %d", l.Partition, transport.ErrRejected, offset)
	}
	c.appended++
	l.append(&l.entries[i].Record, l.entries[i].Time, c.appended)
	c.change()
	return nil
}

// acknowledgementHold is one HoldAcknowledgements.
type acknowledgementHold struct {
	topic   string
	waiting []*outcome
}

// HoldAcknowledgements keeps the outcomes of records that are written to a topic from
// now on: they are appended, and consumers see them, but their completions are not
// called until release is, or until the producer's delivery timeout has passed, with
// ErrOutcomeUnknown. Release may be called more than once.
func (c *Cluster) HoldAcknowledgements(topic string) (release func()) {
	h := &acknowledgementHold{topic: topic}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holds = append(c.holds, h)
	return func() { c.releaseAcknowledgements(h) }
}

func (c *Cluster) releaseAcknowledgements(h *acknowledgementHold) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holds = slices.DeleteFunc(c.holds, func(o *acknowledgementHold) bool { return o == h })
	waiting := h.waiting
	h.waiting = nil
	for _, o := range waiting {
		o.settle(nil)
	}
	for _, o := range waiting {
		o.producer.drain(o.producer.queues[o.position.Partition])
	}
}

// holdOf is the hold that a topic is under. c.mu is held.
func (c *Cluster) holdOf(topic string) *acknowledgementHold {
	for _, h := range c.holds {
		if h.topic == topic {
			return h
		}
	}
	return nil
}
