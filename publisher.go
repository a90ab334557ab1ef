package eventbus

import (
	"context"
	"errors"
	"sync"

	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// Publisher publishes the events of one topic. It is safe for concurrent use. It needs
// no closing: close the bus.
type Publisher[T any] struct {
	topic  *Topic[T]
	sender *sender
}

// NewPublisher returns a publisher of topic on bus. A declaration that can't go
// with those the bus has already (another Topic with the same name and type,
// other partitions for the same Kafka topic) is an error of Start and of every
// Publish. It panics where one of the two is nil.
func NewPublisher[T any](bus *Bus, topic *Topic[T]) *Publisher[T] {
	if bus == nil || topic == nil {
		panic("eventbus.NewPublisher: the bus or the topic is nil: is the variable set only later?")
	}
	return &Publisher[T]{topic: topic, sender: bus.sender(topic.Declaration())}
}

// Publish publishes one event and returns nil once all in-sync replicas have it.
//
// ctx bounds the wait for buffer space and for the acknowledgement. An accepted event
// is sent even if ctx ends: the error is then ErrOutcomeUnknown. Retries inside the bus
// neither duplicate nor reorder; calling Publish again publishes a new event.
func (p *Publisher[T]) Publish(ctx context.Context, event T) error {
	return p.PublishWith(ctx, event)
}

// PublishWith is Publish with options. It is a separate method so that a service's
// one-method interface can have Publish's plain signature.
func (p *Publisher[T]) PublishWith(ctx context.Context, event T, options ...PublishOption) error {
	d := newDraft(options)
	defer d.free()
	if err := p.encode(ctx, d, event); err != nil {
		return publishError(p.sender.topic, d.envelope.ID, err)
	}
	return p.sender.publish(ctx, d)
}

// PublishAsync publishes one event without waiting for the acknowledgement. It may wait
// for buffer space, as long as ctx allows. Errors of every kind, a refusal too, are
// reported by the Receipt.
//
// In a handler's context the attempt waits for the receipt, and fails if the event
// does.
func (p *Publisher[T]) PublishAsync(ctx context.Context, event T, options ...PublishOption) Receipt {
	d := newDraft(options)
	defer d.free()
	r := new(receipt)
	err := p.encode(ctx, d, event)
	r.outgoing = telemetry.Outgoing{Of: p.sender.signals, ID: d.envelope.ID}
	if s := scopeFrom(ctx); s != nil {
		s.addReceipt(r)
	}
	if err == nil {
		err = p.sender.send(ctx, d, &r.outgoing, r, nil)
	}
	if err != nil {
		r.fail(publishError(p.sender.topic, d.envelope.ID, err))
	}
	return Receipt{r}
}

// PublishBatch publishes events, in order per key, and waits for all of them. The error
// is a *PublishBatchError that names the failed events by index. Events after a failed
// one are still tried, but those queued behind it on its partition fail with it.
func (p *Publisher[T]) PublishBatch(ctx context.Context, events []T, options ...BatchOption) error {
	outcome := newBatchOutcome(len(events))
	batch := p.sender.signals.StartBatch(ctx, len(events))
	err := errNotTried // if a codec or a key function panics
	defer func() { batch.End(err) }()
	d := newDraft(options)
	defer d.free()
	for i, event := range events {
		part := &outcome.parts[i]
		err := p.encode(ctx, d, event)
		part.outgoing = telemetry.Outgoing{Of: p.sender.signals, ID: d.envelope.ID}
		if err == nil {
			err = p.sender.send(ctx, d, &part.outgoing, part, batch)
		}
		if err != nil {
			part.settle(err)
		}
	}
	err = outcome.wait(ctx)
	return err
}

// errNotTried is what telemetry reports for a batch that a panic ended half-way.
var errNotTried = errors.New("the batch was not published: encoding it panicked")

// Delete publishes a tombstone for key: consumers run their OnDelete handlers,
// and a compacted topic forgets the key.
func (p *Publisher[T]) Delete(ctx context.Context, key string, options ...BatchOption) error {
	d := newDraft(options)
	defer d.free()
	if err := p.tombstone(ctx, d, key); err != nil {
		return publishError(p.sender.topic, "", err)
	}
	return p.sender.publish(ctx, d)
}

// tombstone makes the draft a tombstone of key.
func (p *Publisher[T]) tombstone(ctx context.Context, d *draft, key string) error {
	if !p.topic.decl.Keyed {
		return errors.New("a tombstone deletes a key, and this topic's events have none")
	}
	if err := d.settings.err(); err != nil {
		return err
	}
	d.settings.fill(&d.envelope, &p.topic.ids)
	d.envelope.Type = p.topic.decl.Typ
	d.envelope.Tombstone, d.envelope.Key = true, nonNil(append(d.data[:0], key...))
	return p.sender.complete(ctx, d)
}

// Envelope returns the event as Publish would send it, without sending it. Its id,
// time, source, topic, key, trace, correlation and causation are decided now. An outbox
// stores the envelope in the caller's transaction and publishes it later by
// Bus.PublishEnvelope, as often as it takes: the id stays the same. The caller owns the
// envelope's memory.
//
// Envelope does not check that the topic exists; publishing does.
func (p *Publisher[T]) Envelope(ctx context.Context, event T, options ...PublishOption) (*Envelope, error) {
	d := newDraft(options)
	defer d.free()
	if err := p.encode(ctx, d, event); err != nil {
		return nil, publishError(p.sender.topic, d.envelope.ID, err)
	}
	return p.sender.envelope(ctx, d)
}

// DeleteEnvelope returns the tombstone that Delete would send, without sending it. See
// Envelope.
func (p *Publisher[T]) DeleteEnvelope(ctx context.Context, key string, options ...BatchOption) (*Envelope, error) {
	d := newDraft(options)
	defer d.free()
	if err := p.tombstone(ctx, d, key); err != nil {
		return nil, publishError(p.sender.topic, "", err)
	}
	return p.sender.envelope(ctx, d)
}

// encode fills the draft's envelope. Topic and Source are set first: the codec of a
// schema registry files schemas by topic.
func (p *Publisher[T]) encode(ctx context.Context, d *draft, event T) (err error) {
	d.envelope = Envelope{Topic: p.sender.topic, Source: p.sender.bus.config.Source}
	if d.settings.identify != nil {
		if err := d.settings.identify(ctx, p.sender.topic, p.topic.decl.Typ, &d.settings); err != nil {
			return err
		}
	}
	if d.data, err = p.topic.encode(ctx, &d.envelope, event, &d.settings, d.data); err != nil {
		return err
	}
	return p.sender.complete(ctx, d)
}

// draft holds an event until the producer has copied it. Its memory is reused.
type draft struct {
	envelope Envelope
	settings publishSettings
	optional bool // settings is not empty
	record   transport.Record
	form     *wire.Form // of the record; nil for CloudEvents
	encoder  wire.Encoder
	data     []byte
}

var draftPool = sync.Pool{New: func() any { return new(draft) }}

// maxKept bounds what a pooled draft keeps, in bytes.
const maxKept = 64 << 10

// newDraft returns an empty draft with the options of one publish.
func newDraft[O PublishOption](options []O) *draft {
	d := draftPool.Get().(*draft)
	d.optional = len(options) > 0
	for _, option := range options {
		apply(&d.settings, option)
	}
	return d
}

// free returns the draft to the pool, unless it holds much memory: one large event
// would otherwise occupy that for the life of the process.
func (d *draft) free() {
	if cap(d.data) > maxKept || len(d.envelope.Data) > maxKept {
		return
	}
	d.envelope, d.form = Envelope{}, nil
	if d.optional {
		d.settings, d.optional = publishSettings{}, false
	}
	draftPool.Put(d)
}
