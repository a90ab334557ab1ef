package eventbus

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// PublishEnvelope publishes the event in an envelope. Topic is the full name; ID, Source
// and Type must be set. It is for tools, bridges and outboxes; services publish through
// a Publisher.
func (b *Bus) PublishEnvelope(ctx context.Context, e *Envelope) error {
	d, err := b.forwarded(e)
	if err != nil {
		return publishError("", e.ID, err)
	}
	defer d.free()
	a := b.awaited.get()
	a.outgoing = telemetry.Outgoing{Of: b.signals.SendSignals(e.Topic), ID: e.ID}
	if err := b.forward(ctx, d, &a.outgoing, a); err != nil {
		b.awaited.put(a)
		return publishError(e.Topic, e.ID, err)
	}
	return b.await(ctx, a, e.Topic, e.ID)
}

// PublishEnvelopeAsync is PublishEnvelope without waiting for the acknowledgement. It
// may wait for buffer space, as long as ctx allows. The caller may reuse the envelope
// once it returns. Envelopes of one key are written in the order of the calls, but if
// the broker refuses one, those already on their way behind it are still written.
func (b *Bus) PublishEnvelopeAsync(ctx context.Context, e *Envelope) Receipt {
	r := new(receipt)
	d, err := b.forwarded(e)
	if err != nil {
		return Receipt{r.fail(publishError("", e.ID, err))}
	}
	defer d.free()
	r.outgoing = telemetry.Outgoing{Of: b.signals.SendSignals(e.Topic), ID: e.ID}
	if s := scopeFrom(ctx); s != nil {
		s.addReceipt(r)
	}
	if err := b.forward(ctx, d, &r.outgoing, r); err != nil {
		r.fail(publishError(e.Topic, e.ID, err))
	}
	return Receipt{r}
}

// PublishEnvelopes publishes envelopes, of any topics, in order per key, and waits for
// all of them. The error is PublishBatch's.
func (b *Bus) PublishEnvelopes(ctx context.Context, envelopes []*Envelope) error {
	outcome := newBatchOutcome(len(envelopes))
	for i, e := range envelopes {
		part := &outcome.parts[i]
		d, err := b.forwarded(e)
		if err == nil {
			part.outgoing = telemetry.Outgoing{Of: b.signals.SendSignals(e.Topic), ID: e.ID}
			err = b.forward(ctx, d, &part.outgoing, part)
			d.free()
		}
		if err != nil {
			part.settle(err)
		}
	}
	return outcome.wait(ctx)
}

// DeliveryTimeout returns how long an event that the producer has accepted may still be
// written: Config.Producer.DeliveryTimeout, or its default. The relay of an outbox that
// publishes without a Transactor has to lead for longer than that.
func (b *Bus) DeliveryTimeout() time.Duration {
	return b.config.Producer.WithDefaults().DeliveryTimeout
}

// forwarded returns a draft of an envelope that is published as it is.
func (b *Bus) forwarded(e *Envelope) (*draft, error) {
	if err := naming.CheckTopicName(e.Topic); err != nil {
		return nil, err
	}
	if e.Tombstone && e.Key == nil {
		return nil, fmt.Errorf("%s: a tombstone without a key deletes nothing", e.Topic)
	}
	form, err := b.formOf(e)
	if err != nil {
		return nil, err
	}
	d := draftPool.Get().(*draft)
	d.form = form
	d.envelope = *e
	// The timestamp may belong to a record that the envelope was read from.
	d.envelope.Timestamp = time.Time{}
	// Appending must not write into the caller's slice.
	d.envelope.Headers = slices.Clip(e.Headers)
	return d, nil
}

// formOf returns the form in which an envelope is published: that of its topic, if the
// bus has declared it. It registers the envelope's partitioner for its topic.
func (b *Bus) formOf(e *Envelope) (*wire.Form, error) {
	if e.Partitioner != "" {
		p, ok := declare.PartitionerNamed(e.Partitioner)
		if !ok {
			return nil, fmt.Errorf("the envelope's partitioner %q is not known here: update the program that publishes it", e.Partitioner)
		}
		b.partitions.set(e.Topic, p)
	}
	if e.Raw {
		return nil, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := b.topics.names[e.Topic]; d != nil {
		return d.Form, nil
	}
	return nil, nil
}

// forward passes a forwarded draft to the producer, continuing the envelope's trace.
func (b *Bus) forward(ctx context.Context, d *draft, f *telemetry.Outgoing, done transport.Completion) error {
	e := (*wire.Event)(&d.envelope)
	carryTrace(&d.envelope, f.Start(b.signals.Tracing.Forward(ctx, e), e, nil))
	return b.hand(ctx, d, f, done)
}
