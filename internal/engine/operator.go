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

// What an operator may do to a running engine. Everything here affects this member only, and
// what it owns at the moment.

// ErrNotFound is the error of an order that names something that is not here.
var ErrNotFound = errors.New("not found here")

// SkippedByOperator is the reason passed to Observer.Skipped by Skip.
const SkippedByOperator = "operator"

// Hold stops dispatching to a subscription until it is called with false. Running attempts may
// finish. It may be called before Attach, and lasts across rebalances.
//
// Time spent waiting while held is nobody's fault. So if such events kept the watermark in
// place, the time since the last progress starts again; otherwise a partition would look stuck
// from here until the first of their handlers returns.
func (s *Subscription) Hold(held bool) {
	if !held {
		// Release mu before excuse, which acquires the partitions' locks: these come first.
		s.mu.Lock()
		waiting := slices.Collect(maps.Keys(s.lanes.queues))
		s.mu.Unlock()
		for _, p := range waiting {
			p.excuse(s)
		}
	}
	s.hold(held)
}

// excuse restarts the time without progress if a subscription's event, waiting for a worker,
// keeps the watermark in place. Only the lowest offset does that, so only its lane is checked.
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

// Unpark ends the wait of a key at once: its head is tried again, or its head's dead letter is
// written again. Of several waiting records with the key it is any.
func (e *Engine) Unpark(id transport.Partition, key []byte) error {
	return e.unpark(id, func(r *transport.Record) bool { return bytes.Equal(r.Key, key) })
}

// UnparkAt is like Unpark, for the key that waits at the record at an offset.
func (e *Engine) UnparkAt(id transport.Partition, offset int64) error {
	return e.unpark(id, func(r *transport.Record) bool { return r.Offset == offset })
}

func (e *Engine) unpark(id transport.Partition, is func(*transport.Record) bool) error {
	p, err := e.lockActive(id)
	if err != nil {
		return err
	}
	defer p.mu.Unlock()
	var waits laneState
	for l := range p.lanes.all() {
		// Ordered by partition, or unordered, a lane's key is not that of its records, so check
		// them all.
		if l.state < laneParked || !is(l.head.record) {
			continue
		}
		if l.state == laneParked || l.state == laneRewriting {
			l.head.retry.notBefore = time.Time{}
			p.unpark(l)
			p.setOff(l)
			return nil
		}
		// By partition, or without order, several lanes may have the key: continue.
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

// Skip ends the record at offset, if it holds up its key permanently because its dead letter
// can't be written or because only another member may know its type. If offset lies in a part
// of the log that can't be read, and which holds up the partition, Skip passes all of that part
// after writing a note to the dead-letter topic. It returns what is known about the record.
// Nothing else can be skipped, since nothing else waits without end.
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

// skip ends the record at an offset, whatever it waits for, and returns what it was. It does
// not take a running record from its handler.
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

// unreadable returns the unreadable part of a partition's log that contains an offset, if any.
// Before Start there is no consumer to ask, so it returns nil.
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

// pass passes a part of the log that can't be read. The note comes first: without it nobody
// would find a trace of the part.
func (e *Engine) pass(id transport.Partition, u *transport.Unreadable) (*Failure, error) {
	passer, ok := e.consumer.(transport.Passer)
	if !ok {
		return nil, errors.New("this transport can't pass over what it can't read")
	}
	now := time.Now()
	f := &Failure{
		// No key and no value: both are unknown.
		Record: &transport.Record{Topic: id.Topic, Partition: id.Partition, Offset: u.From, Value: []byte{}, Excess: &transport.Excess{Headers: -1, Value: true}},
		Reason: ReasonUnreadable, Err: u, First: now, Last: now,
	}
	ctx, cancel := context.WithTimeout(context.Background(), passTimeout)
	defer cancel()
	// Buffered: the acknowledgement may come when nobody waits for it any more.
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

// ForgetType applies the policy for unknown types to events of a type that this member holds,
// now and from now on, until a member that handles the type comes. The type is forgotten before
// its lanes are released; otherwise setOff would hold them again.
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
