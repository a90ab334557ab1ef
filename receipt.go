package eventbus

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/transport"
)

// Position is where a published event stands in the log.
type Position = transport.Position

// Receipt is the pending outcome of an asynchronous publish. It is safe for concurrent use and
// may be discarded. The zero Receipt is done, with no position and no error.
type Receipt struct{ r *receipt }

// Done is closed when the outcome is known.
func (r Receipt) Done() <-chan struct{} {
	if r.r == nil {
		return closedChannel
	}
	return r.r.doneChannel()
}

// Wait returns the event's position once all in-sync replicas have it, or the error that
// prevented it. If ctx ends first Wait returns ErrOutcomeUnknown with ctx's error as its
// cause; the event is still sent.
func (r Receipt) Wait(ctx context.Context) (Position, error) {
	if r.r == nil {
		return Position{}, nil
	}
	return r.r.wait(ctx)
}

// receipt is the outcome of a record. Its channel is created only if a caller waits; callers
// with many receipts mostly wait once.
type receipt struct {
	// outgoing reports on the publish. It does not change once the record is handed over.
	outgoing telemetry.Outgoing

	// mu guards the fields below.
	mu      sync.Mutex
	settled bool
	// done is nil until a caller asks for it.
	done     chan struct{}
	position Position
	err      error
}

// closedChannel is shared by all receipts that are done.
var closedChannel = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Done implements transport.Completion.
func (r *receipt) Done(p transport.Position, err error) {
	// End the report before waking callers.
	r.outgoing.End(p, err)
	if err != nil {
		err = publishError(r.outgoing.Of.Topic, r.outgoing.ID, err)
	}
	r.mu.Lock()
	r.settled, r.position, r.err = true, p, err
	if r.done != nil {
		close(r.done)
	}
	r.mu.Unlock()
}

// fail sets the outcome of an event that was never accepted.
func (r *receipt) fail(err error) *receipt {
	r.mu.Lock()
	r.settled, r.err = true, err
	if r.done != nil {
		close(r.done) // an attempt that has the receipt may already wait
	}
	r.mu.Unlock()
	return r
}

// doneChannel returns the channel that is closed with the outcome.
func (r *receipt) doneChannel() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil {
		if r.settled {
			return closedChannel
		}
		r.done = make(chan struct{})
	}
	return r.done
}

// succeeded reports whether the event is written.
func (r *receipt) succeeded() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.settled && r.err == nil
}

// isDone reports whether the outcome is known.
func (r *receipt) isDone() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.settled
}

// wait returns the outcome, or an ErrOutcomeUnknown if ctx ends first.
func (r *receipt) wait(ctx context.Context) (Position, error) {
	r.mu.Lock()
	if r.settled {
		defer r.mu.Unlock()
		return r.position, r.err
	}
	r.mu.Unlock()
	select {
	case <-r.doneChannel():
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.position, r.err
	case <-ctx.Done():
		return Position{}, publishError(r.outgoing.Of.Topic, r.outgoing.ID, waitEnded(ctx))
	}
}

// waitEnded returns the error of a caller that stopped waiting: the event was accepted and may
// still be written.
func waitEnded(ctx context.Context) error {
	return &unknownOutcome{context.Cause(ctx)}
}

// unknownOutcome is an ErrOutcomeUnknown with its cause, most often the end of the caller's
// context.
type unknownOutcome struct{ err error }

// Error implements error.
func (e *unknownOutcome) Error() string { return "outcome unknown: " + e.err.Error() }

// Unwrap returns the cause.
func (e *unknownOutcome) Unwrap() error { return e.err }

// Is reports whether target is ErrOutcomeUnknown.
func (e *unknownOutcome) Is(target error) bool { return target == ErrOutcomeUnknown }

// awaited is the outcome of a publish whose caller waits. It is reused.
type awaited struct {
	outgoing telemetry.Outgoing
	// settled has capacity one, so that the producer never waits.
	settled  chan struct{}
	position Position
	err      error
}

// awaitedPool belongs to one bus. A global pool would move channels between bubbles of
// testing/synctest, which forbids that.
type awaitedPool struct{ pool sync.Pool }

// get returns an unused awaited.
func (p *awaitedPool) get() *awaited {
	if a, ok := p.pool.Get().(*awaited); ok {
		return a
	}
	return &awaited{settled: make(chan struct{}, 1)}
}

// put returns an awaited to the pool once its outcome was received. If the caller gave up it
// must not be put back: the producer still has it.
func (p *awaitedPool) put(a *awaited) {
	a.err = nil
	p.pool.Put(a)
}

// Done implements transport.Completion.
func (a *awaited) Done(p transport.Position, err error) {
	a.outgoing.End(p, err)
	a.position, a.err = p, err
	a.settled <- struct{}{}
}

// batchOutcome collects the outcomes of the events of one batch. parts are in the order of the
// events. left counts those without an outcome; done is closed when it reaches zero.
type batchOutcome struct {
	parts []batchPart
	left  atomic.Int64
	done  chan struct{}
}

// batchPart is the outcome of one event of a batch.
type batchPart struct {
	// outgoing is zero for an event that got no topic.
	outgoing telemetry.Outgoing
	of       *batchOutcome
	settled  atomic.Bool
	// err is valid once settled is true.
	err error
}

// newBatchOutcome returns the outcome of n events. Each part must be settled once.
func newBatchOutcome(n int) *batchOutcome {
	o := &batchOutcome{parts: make([]batchPart, n), done: make(chan struct{})}
	o.left.Store(int64(n))
	for i := range o.parts {
		o.parts[i].of = o
	}
	return o
}

// Done implements transport.Completion.
func (p *batchPart) Done(at transport.Position, err error) {
	p.outgoing.End(at, err)
	p.settle(err)
}

// settle sets the outcome of one event.
func (p *batchPart) settle(err error) {
	p.err = err
	p.settled.Store(true)
	if p.of.left.Add(-1) == 0 {
		close(p.of.done)
	}
}

// wait returns a *PublishBatchError with the events that failed, or nil if none did. If ctx
// ends first, the outcome of the remaining events is unknown.
func (o *batchOutcome) wait(ctx context.Context) error {
	if len(o.parts) == 0 {
		return nil
	}
	select {
	case <-o.done:
	case <-ctx.Done():
	}
	var failed map[int]error
	// Don't wait for parts without an outcome: the caller's time is over.
	for i := range o.parts {
		p := &o.parts[i]
		err := waitEnded(ctx)
		if p.settled.Load() {
			err = p.err
		}
		if err == nil {
			continue
		}
		if failed == nil {
			failed = make(map[int]error)
		}
		topic := "" // for an envelope that names none
		if p.outgoing.Of != nil {
			topic = p.outgoing.Of.Topic
		}
		failed[i] = publishError(topic, p.outgoing.ID, err)
	}
	if failed == nil {
		return nil
	}
	return &PublishBatchError{Errors: failed}
}
