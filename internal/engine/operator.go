package engine

import (
	"bytes"
	"context"
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
// excuse takes the partitions' locks, which come before the subscription's: so the list is
// taken first and looked at without it.
func (s *Subscription) Hold(held bool) {
	if !held {
		s.mu.Lock()
		waiting := slices.Collect(maps.Keys(s.lanes.queues))
		s.mu.Unlock()
		for _, p := range waiting {
			p.excuse(s)
		}
	}
	s.hold(held)
}

// excuse restarts the time without progress, if it is a subscription's events
// that ended it by waiting for a worker.
// Only the lowest offset keeps the watermark, so only its lane is asked.
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
		// By partition, or without order, a lane's key is not its records': all are looked at.
		if l.state < laneParked || !bytes.Equal(l.head.record.Key, key) {
			continue
		}
		if l.state == laneParked || l.state == laneRewriting {
			l.head.retry.notBefore = time.Time{}
			p.unpark(l)
			p.setOff(l)
			return nil
		}
		// Several lanes may have the key, by partition or without order: go on looking.
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
// letter can't be written, or of a type that only another member may know. If
// offset lies in a part of the log that can't be read, which holds the partition up, all
// of that part is passed over, after a note was written to the dead-letter topic. Skip
// returns what is known of the record. Nothing else can be skipped, since
// nothing else waits without end.
func (e *Engine) Skip(id transport.Partition, offset int64) (*Failure, error) {
	f, err := e.skip(id, offset)
	if errors.Is(err, ErrNotFound) {
		if u := e.unreadable(id, offset); u != nil {
			return e.pass(id, u)
		}
	}
	if err == nil {
		e.observer.Skipped(id, SkippedByOperator, 1)
	}
	return f, err
}

// skip ends the record at an offset, whatever it waits for, and returns what it was. A
// record under way is not taken from its handler.
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

// passTimeout bounds writing the note and moving the position.
const passTimeout = 30 * time.Second

// unreadable returns the unreadable part of a partition's log that an offset lies in.
// It is nil before Start: there is no consumer to ask yet.
func (e *Engine) unreadable(id transport.Partition, offset int64) *transport.Unreadable {
	select {
	case <-e.started:
	default:
		return nil
	}
	for _, s := range e.consumer.Status().Partitions {
		if u := s.Unreadable; s.Partition == id && u != nil && u.From <= offset && offset < u.Next {
			return u
		}
	}
	return nil
}

// pass passes over what can't be read. The note comes first: of what is passed over
// without one nobody would find a trace.
func (e *Engine) pass(id transport.Partition, u *transport.Unreadable) (*Failure, error) {
	passer, ok := e.consumer.(transport.Passer)
	if !ok {
		return nil, errors.New("this transport can't pass over what it can't read")
	}
	now := time.Now()
	f := &Failure{
		// No key and no value: neither is known.
		Record: &transport.Record{Topic: id.Topic, Partition: id.Partition, Offset: u.From, Value: []byte{}, Excess: &transport.Excess{Headers: -1, Value: true}},
		Reason: ReasonUnreadable, Err: u, First: now, Last: now,
	}
	ctx, cancel := context.WithTimeout(context.Background(), passTimeout)
	defer cancel()
	// Room for one: the acknowledgement may come after nobody waits for it.
	written := make(chan error, 1)
	e.config.DeadLetter(ctx, f, func(err error) { written <- err })
	select {
	case err := <-written:
		if err != nil {
			return nil, fmt.Errorf("nothing is passed over, as the note in the dead-letter topic can't be written: %w", err)
		}
	case <-ctx.Done():
		return nil, fmt.Errorf("nothing is passed over, as the note in the dead-letter topic was not written within %s", passTimeout)
	}
	e.observer.DeadLettered(f)
	return f, passer.Pass(ctx, id, u.Next)
}

// ForgetType applies the policy for unknown types to what this member holds of a
// type, now and from now on, until a member comes that handles it.
// The type is forgotten before the lanes are let go: setOff would hold them again.
func (e *Engine) ForgetType(topic, typ string) error {
	if !slices.ContainsFunc(e.Snapshot().Held, func(h HeldSnapshot) bool { return h.Topic == topic && h.Type == typ }) {
		return fmt.Errorf("%w: no event of type %q on topic %s is held for another member", ErrNotFound, typ, topic)
	}
	e.foreign.forget(topic, typ)
	for _, p := range e.owned() {
		p.releaseForeign(time.Now())
	}
	return nil
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
