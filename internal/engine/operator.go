package engine

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// What an operator may do to a running engine. Everything here acts on this
// member alone, and on what it owns at the moment.

// ErrNotFound says that an operator named something that is not here.
var ErrNotFound = errors.New("not found here")

// SkippedByOperator is the reason that Observer.Skipped gets for Skip.
const SkippedByOperator = "operator"

// Hold stops dispatching to a subscription until it is called with false; what
// runs may finish. It may be called before Attach, and holds over rebalances.
//
// How long events waited while it was held is nobody's fault, so where they kept
// the watermark the time since the last progress starts again: else a partition
// would read as stuck from here until the first of their handlers returns.
func (s *Subscription) Hold(held bool) {
	if !held {
		s.mu.Lock()
		waiting := slices.Collect(maps.Keys(s.queues))
		s.mu.Unlock()
		for _, p := range waiting {
			p.excuse(s)
		}
	}
	s.hold(held)
}

// excuse restarts the time without progress, if it is a subscription's events
// that ended it by waiting for a worker.
func (p *partition) excuse(s *Subscription) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var first *lane
	for l := range p.lanes.all() {
		if l.head != nil && (first == nil || l.head.record.Offset < first.head.record.Offset) {
			first = l
		}
	}
	if first != nil && first.state == laneReady && first.head.sub == s {
		p.lastProgress = time.Now()
	}
}

// Unpark ends the wait of a key at once: its head is tried again, or the dead
// letter of its head written again.
func (e *Engine) Unpark(id transport.Partition, key []byte) error {
	p, err := e.lockActive(id)
	if err != nil {
		return err
	}
	defer p.mu.Unlock()
	var waits laneState
	for l := range p.lanes.all() {
		if l.state < laneParked || !bytes.Equal(l.head.record.Key, key) {
			continue
		}
		if l.state == laneParked || l.state == laneRewriting {
			p.unpark(l)
			p.setOff(l)
			return nil
		}
		waits = l.state
	}
	switch waits {
	case laneGated:
		return errors.New("the key waits for a circuit breaker, which lets it through once what it stands before works again")
	case laneWriting:
		return errors.New("a dead letter of the key is being written")
	case laneHeld:
		return errors.New("the key is held by a record that no handler here knows: deploy a member that does, or skip its offset")
	}
	return fmt.Errorf("%w: no such key waits in partition %s", ErrNotFound, id)
}

// Skip ends the record at offset that holds its key up for good: one whose dead
// letter can't be written, or of a type that only another member may know. It
// returns what is known of the record. Nothing else can be skipped, since
// nothing else waits without end.
func (e *Engine) Skip(id transport.Partition, offset int64) (*Failure, error) {
	f, err := e.skip(id, offset)
	if err == nil {
		e.observer.Skipped(id, SkippedByOperator, 1)
	}
	return f, err
}

func (e *Engine) skip(id transport.Partition, offset int64) (*Failure, error) {
	p, err := e.lockActive(id)
	if err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	for l := range p.lanes.all() {
		if l.head == nil || l.head.record.Offset != offset {
			continue
		}
		switch l.state {
		case laneHeld, laneRewriting:
		case laneWriting:
			return nil, fmt.Errorf("the dead letter of offset %d is being written: if that fails, skip it then", offset)
		default:
			return nil, fmt.Errorf("offset %d is not held up for good (%s): it will be handled or dead-lettered", offset, l.state)
		}
		f := l.head.failure()
		p.unpark(l)
		p.finish(l.pop(), time.Now())
		if p.goOn(l) {
			p.setOff(l)
		}
		return f, nil
	}
	return nil, fmt.Errorf("%w: no key of partition %s is held up by offset %d", ErrNotFound, id, offset)
}

// lockActive returns a partition that is owned and not going, with mu held.
func (e *Engine) lockActive(id transport.Partition) (*partition, error) {
	p := e.partition(id)
	if p == nil {
		return nil, fmt.Errorf("%w: partition %s is not assigned to this member", ErrNotFound, id)
	}
	p.mu.Lock()
	if p.state != partitionActive {
		p.mu.Unlock()
		return nil, fmt.Errorf("%w: partition %s is being given to another member", ErrNotFound, id)
	}
	return p, nil
}
