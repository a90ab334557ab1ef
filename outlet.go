package eventbus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// outlet is a topic of a bus from the publishing side: what a Publisher[T] is
// without its T. There is one for each declaration.
type outlet struct {
	bus   *Bus
	topic string
	decl  *topicDeclaration
	err   error // why nothing can be published here, for good

	signals *sending

	ready atomic.Bool
	mu    sync.Mutex // held while the topic is made ready
}

// publish sends the draft and waits for its outcome.
func (o *outlet) publish(ctx context.Context, d *draft) error {
	id := d.envelope.ID
	a := o.bus.awaited.get()
	a.flight = flight{of: o.signals, id: id}
	if err := o.send(ctx, d, &a.flight, a, nil); err != nil {
		o.bus.awaited.put(a)
		return publishError(o.topic, id, err)
	}
	return o.bus.await(ctx, a, o.topic, id)
}

// await waits for the outcome of an event that was handed over.
func (b *Bus) await(ctx context.Context, a *awaited, topic, id string) error {
	select {
	case <-a.settled:
	case <-ctx.Done():
		select {
		case <-a.settled: // both at once: the outcome says more
		default:
			return publishError(topic, id, waitEnded(ctx)) // a is the producer's until then, and then garbage
		}
	}
	err := a.err
	b.awaited.put(a)
	if err != nil {
		return publishError(topic, id, err)
	}
	return nil
}

// send completes the draft's envelope with what the bus knows, turns it into a
// record and hands it to the producer. f is a part of done; batch is nil for an
// event by itself.
func (o *outlet) send(ctx context.Context, d *draft, f *flight, done transport.Completion, batch *batchFlight) error {
	e := &d.envelope
	e.Topic, e.Source = o.topic, o.bus.config.Source
	inherit(ctx, e)
	f.depart(ctx, e, batch)
	if !o.ready.Load() {
		if err := o.prepare(ctx); err != nil {
			return f.refused(err)
		}
	}
	return o.bus.hand(ctx, d, f, done)
}

// hand encodes the draft and hands it to the producer.
func (b *Bus) hand(ctx context.Context, d *draft, f *flight, done transport.Completion) error {
	err := b.encode(&d.encoder, &d.envelope, &d.record)
	if err == nil {
		f.carry(&d.record)
		err = b.producer.Produce(ctx, &d.record, done)
	}
	if err != nil {
		return f.refused(err)
	}
	return nil
}

// inherit gives an event that a handler publishes the story of the event that
// it handles (ruling: correlation and causation travel by themselves).
func inherit(ctx context.Context, e *Envelope) {
	s := scopeFrom(ctx)
	if s == nil {
		return
	}
	cause := s.tell()
	if e.CausationID == "" {
		e.CausationID = cause.id
	}
	if e.CorrelationID == "" {
		e.CorrelationID = cmp.Or(cause.correlation, cause.id)
	}
}

// encode turns an envelope into a record, in the bus's mode.
func (b *Bus) encode(encoder *wire.Encoder, e *Envelope, r *transport.Record) error {
	ev := (*wire.Event)(e)
	if !e.Tombstone {
		if err := encoder.Check(ev); err != nil {
			return fmt.Errorf("%w: %w", ErrSerialization, err)
		}
	}
	if b.config.Structured && !e.Tombstone {
		return encoder.Structured(ev, r)
	}
	encoder.Binary(ev, r)
	return nil
}

// prepare makes sure that the topic is there, once.
func (o *outlet) prepare(ctx context.Context) error {
	if o.err != nil {
		return o.err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ready.Load() {
		return nil
	}
	if o.bus.closed() {
		return ErrClosed
	}
	if err := o.bus.provision(ctx, o.decl.spec(o.topic)); err != nil {
		return err
	}
	o.ready.Store(true)
	return nil
}

// PublishEnvelope publishes an event as its envelope says: Topic is the full
// name, ID, Source and Type are set. It is for tools and bridges; services
// publish through a Publisher.
func (b *Bus) PublishEnvelope(ctx context.Context, e *Envelope) error {
	if err := checkTopicName(e.Topic); err != nil {
		return &Error{Op: "publish", EventID: e.ID, Err: err}
	}
	if e.Tombstone && e.Key == nil {
		return publishError(e.Topic, e.ID, errors.New("a tombstone without a key deletes nothing"))
	}
	d := draftPool.Get().(*draft)
	defer d.free()
	d.envelope = *e
	d.envelope.Timestamp = time.Time{}          // that of the record it came with, maybe
	d.envelope.Headers = slices.Clip(e.Headers) // what is added must not land in the caller's
	a := b.awaited.get()
	a.flight = flight{of: b.signals.sending(e.Topic), id: e.ID}
	a.flight.depart(b.signals.tracing.forward(ctx, &d.envelope), &d.envelope, nil)
	if err := b.hand(ctx, d, &a.flight, a); err != nil {
		b.awaited.put(a)
		return publishError(e.Topic, e.ID, err)
	}
	return b.await(ctx, a, e.Topic, e.ID)
}
