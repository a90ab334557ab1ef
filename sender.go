package eventbus

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// sender publishes to one topic of a bus: it is a Publisher[T] without the T. There is one per
// declaration, so publishers created per request are cheap.
type sender struct {
	bus   *Bus
	topic string
	decl  *declare.Topic
	// err says why nothing can ever be published here.
	err error

	signals *telemetry.SendSignals

	// ready is set once the topic is known to exist.
	ready atomic.Bool
	// turn holds a value while the topic is being made ready. It is a channel, not a mutex,
	// so that waiting callers can give up when their contexts end.
	turn chan struct{}
}

// publish sends the draft and waits for its outcome.
func (o *sender) publish(ctx context.Context, d *draft) error {
	id := d.envelope.ID
	a := o.bus.awaited.get()
	a.outgoing = telemetry.Outgoing{Of: o.signals, ID: id}
	if err := o.send(ctx, d, &a.outgoing, a, nil); err != nil {
		o.bus.awaited.put(a)
		return publishError(o.topic, id, err)
	}
	return o.bus.await(ctx, a, o.topic, id)
}

// await waits for the outcome of an event that the producer has accepted.
func (b *Bus) await(ctx context.Context, a *awaited, topic, id string) error {
	select {
	case <-a.settled:
	case <-ctx.Done():
		select {
		// Both are ready: prefer the outcome, which says more.
		case <-a.settled:
		default:
			// The producer still has a, so it does not go back to the pool.
			return publishError(topic, id, waitEnded(ctx))
		}
	}
	err := a.err
	b.awaited.put(a)
	if err != nil {
		return publishError(topic, id, err)
	}
	return nil
}

// complete completes the draft's envelope except for its trace: it sets what the event
// inherits, runs the publish middleware, and derives the id. It runs before anything waits
// for the event or counts it.
func (o *sender) complete(ctx context.Context, d *draft) error {
	e := &d.envelope
	e.Topic, e.Source = o.topic, o.bus.config.Source
	s := scopeFrom(ctx)
	var c cause
	if s != nil {
		c = s.cause(ctx)
		c.inherit(e)
	}
	data, replaced := e.Data, false
	if m := o.bus.config.PublishMiddleware; len(m) > 0 {
		if err := runPublishing(ctx, e, m); err != nil {
			return err
		}
		replaced = len(data) != len(e.Data) || len(data) > 0 && &data[0] != &e.Data[0]
	}
	// What a codec wrapper or a middleware hides must not be guessed from a hash of it, and
	// its output differs between attempts.
	if s != nil && s.derive != nil && c.origin.ID != "" && d.settings.id == "" && !replaced && (e.Tombstone || !o.decl.Samples.Wrapped) {
		s.derive(s, c.origin, e, &d.settings)
	}
	return nil
}

// runPublishing runs the publish middleware on an event.
func runPublishing(ctx context.Context, e *Envelope, middleware []PublishMiddleware) (err error) {
	defer rescue(&err, "publish middleware")
	before, own := *e, make(map[string]string, len(e.Extensions)+1)
	before.Key = bytes.Clone(e.Key) // a middleware may change it in place
	// The options' map and slice may be shared with other events.
	maps.Copy(own, e.Extensions)
	e.Extensions, e.Headers = own, slices.Clone(e.Headers)
	for i, m := range middleware {
		if err := m(ctx, e); err != nil {
			return fmt.Errorf("publish middleware %d of %d: %w", i+1, len(middleware), err)
		}
	}
	if e.ID != before.ID || e.Source != before.Source || e.Type != before.Type || e.Topic != before.Topic ||
		e.Tombstone != before.Tombstone || e.Raw || e.Partitioner != "" || !bytes.Equal(e.Key, before.Key) || (e.Key == nil) != (before.Key == nil) {
		return errors.New("publish middleware changed what the event is or where it goes (ID, Source, Type, Topic, Key, Tombstone, Raw, Partitioner): it may change the data, its description, extensions and headers alone")
	}
	for _, h := range e.Headers {
		if wire.Owned(h.Key) {
			return fmt.Errorf("publish middleware set the header %q, which the bus writes: set the envelope's attribute or extension instead", h.Key)
		}
	}
	if !e.Tombstone {
		e.Data = nonNil(e.Data)
	}
	return nil
}

// send turns the draft's complete envelope into a record and passes it to the producer. f is
// part of done. batch is nil for a single event.
func (o *sender) send(ctx context.Context, d *draft, f *telemetry.Outgoing, done transport.Completion, batch *telemetry.OutgoingBatch) error {
	e := &d.envelope
	d.form = o.decl.Form
	carryTrace(e, f.Start(ctx, (*wire.Event)(e), batch))
	// After the first publish this is one atomic load.
	if !o.ready.Load() {
		if err := o.prepare(ctx); err != nil {
			return f.Refuse(err)
		}
	}
	return o.bus.hand(ctx, d, f, done)
}

// hand encodes the draft and passes it to the producer.
func (b *Bus) hand(ctx context.Context, d *draft, f *telemetry.Outgoing, done transport.Completion) error {
	err := b.encode(d.form, &d.encoder, &d.envelope, &d.record)
	if err == nil {
		f.Carry(&d.record)
		err = b.producer.Produce(ctx, &d.record, done)
	}
	if err != nil {
		return f.Refuse(err)
	}
	return nil
}

// carryTrace writes a trace into an event, replacing the previous hop's. A nil trace changes
// nothing. It is here, and not in telemetry, so that only publishing code changes events.
func carryTrace(e *Envelope, c *telemetry.TraceContext) {
	if c == nil {
		return
	}
	for _, h := range c.Headers {
		setHeader(e, h)
	}
	if c.Parent != "" {
		e.TraceParent, e.TraceState = c.Parent, c.State
	}
	c.Release()
}

// setHeader replaces the last header of that name, which is the one that counts, or appends
// h.
func setHeader(e *Envelope, h transport.Header) {
	for i, old := range slices.Backward(e.Headers) {
		if old.Key == h.Key {
			// The slice may be the caller's.
			e.Headers = slices.Clone(e.Headers)
			e.Headers[i] = h
			return
		}
	}
	e.Headers = append(e.Headers, h)
}

// inherit sets the causation and correlation ids of an event that a handler publishes, unless
// options have set them.
func (c *cause) inherit(e *Envelope) {
	if e.CausationID == "" {
		e.CausationID = c.id
	}
	if e.CorrelationID == "" {
		// The event being handled has no correlation: its id begins one.
		e.CorrelationID = cmp.Or(c.correlation, c.id)
	}
}

// encode encodes an envelope into a record, in its topic's form and the bus's mode. It does not
// check a tombstone, which deletes a key and needs no attributes.
func (b *Bus) encode(form *wire.Form, encoder *wire.Encoder, e *Envelope, r *transport.Record) error {
	ev := (*wire.Event)(e)
	if e.Raw {
		wire.Raw(ev, r)
		return nil
	}
	if !e.Tombstone {
		if err := encoder.Check(ev); err != nil {
			return fmt.Errorf("%w: %w", ErrSerialization, err)
		}
	}
	if form == nil && b.config.Structured && !e.Tombstone {
		return encoder.Structured(ev, r)
	}
	if err := form.Encode(encoder, ev, r); err != nil {
		return fmt.Errorf("%w: %w", ErrSerialization, err)
	}
	return nil
}

// prepare makes sure, once, that the topic exists. If that fails, the next publish tries again.
// It waits, as long as ctx allows, for another publish that is doing so.
func (o *sender) prepare(ctx context.Context) error {
	if o.err != nil {
		return o.err
	}
	select {
	case o.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("waiting for another publish, which looks for the topic: %w", context.Cause(ctx))
	}
	defer func() { <-o.turn }()
	// Another publish may have made it ready meanwhile.
	if o.ready.Load() {
		return nil
	}
	if o.bus.closed() {
		return ErrClosed
	}
	if err := o.bus.provision(ctx, o.decl.Spec(o.topic)); err != nil {
		return err
	}
	o.ready.Store(true)
	return nil
}

// envelope returns a copy of the draft's complete envelope, with the trace of a span for the
// event's creation.
func (o *sender) envelope(ctx context.Context, d *draft) (*Envelope, error) {
	e := &d.envelope
	if o.err != nil {
		return nil, publishError(o.topic, e.ID, o.err)
	}
	if !e.Tombstone {
		if err := d.encoder.Check((*wire.Event)(e)); err != nil {
			return nil, publishError(o.topic, e.ID, fmt.Errorf("%w: %w", ErrSerialization, err))
		}
	}
	// This span is the event's creation; publishing it gets another one later.
	f := telemetry.Outgoing{Of: o.signals, ID: e.ID}
	carryTrace(e, f.Start(ctx, (*wire.Event)(e), new(telemetry.OutgoingBatch)))
	if o.decl.Partitioner.Custom() {
		return nil, publishError(o.topic, e.ID, fmt.Errorf("the topic's partitioner %s is a function, which the program that publishes the envelope does not have: use a named one", o.decl.Partitioner))
	}
	e.Partitioner = partitionerName(o.decl.Partitioner)
	if o.decl.Form != nil {
		// The program that publishes the envelope may not have the declaration.
		if err := o.bus.encode(o.decl.Form, &d.encoder, e, &d.record); err != nil {
			return nil, publishError(o.topic, e.ID, err)
		}
		e.Data, e.Headers, e.Raw = d.record.Value, d.record.Headers, true
	}
	return e.Clone(), nil
}

// partitionerName returns the name of a topic's partitioner for an envelope.
func partitionerName(p Partitioner) string {
	if p == Murmur2() {
		return ""
	}
	return p.String()
}

// sender returns the sender of a declaration, creating it on first use. It keeps a
// contradiction for Start rather than returning it, so that publishers can be created in
// variable declarations.
func (b *Bus) sender(d *declare.Topic) *sender {
	o, isNew := b.senderOf(d)
	// Without the lock: a log handler may publish what it is given.
	if isNew && o.err == nil && !d.Keyed && !d.Unkeyed {
		b.config.Logger.Warn("events have no key, and so no order: tag the fields that make it eventbus:\"key\", set Key, or set Unkeyed if none is meant",
			telemetry.LogTopic, o.topic, telemetry.LogEventType, d.Typ)
	}
	return o
}

// senderOf does that without a word.
func (b *Bus) senderOf(d *declare.Topic) (o *sender, isNew bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o := b.topics.senders[d.ID]; o != nil {
		return o, false
	}
	name, err := b.acceptable(d)
	if err == nil {
		b.topics.put(name, d)
		b.partitions.set(name, d.Partitioner)
	}
	o = &sender{bus: b, topic: name, decl: d, err: err, signals: b.signals.SendSignals(name), turn: make(chan struct{}, 1)}
	if err != nil {
		b.topics.faults = append(b.topics.faults, err)
	}
	if b.topics.senders == nil {
		b.topics.senders = make(map[any]*sender)
	}
	b.topics.senders[d.ID] = o
	return o, true
}

// startCodecs starts the codecs of all topics. Its error has every failure until ctx ends.
func (b *Bus) startCodecs(ctx context.Context) error {
	b.mu.Lock()
	// Codecs may ask registries, so start them without the lock.
	declarations := maps.Clone(b.topics.types)
	b.mu.Unlock()
	var faults []error
	for id, d := range declarations {
		if d.StartCodec == nil {
			continue
		}
		// Each of the others might be waited for as well.
		if ctx.Err() != nil {
			faults = append(faults, fmt.Errorf("not all codecs have been started: %w", context.Cause(ctx)))
			break
		}
		if err := startCodec(ctx, d, id[0]); err != nil {
			faults = append(faults, fmt.Errorf("the codec of topic %s, type %s: %w", id[0], d.Typ, err))
		}
	}
	return errors.Join(faults...)
}

// startCodec starts the codec of a topic. It catches panics: the codec is a user's, and a start
// retried in the background must not end the process. For the same reason it does not wait for
// a Start that goes on once ctx has ended, which may be one that closes the bus.
func startCodec(ctx context.Context, d *declare.Topic, topic string) error {
	returned := make(chan error, 1)
	go func() {
		err := errStartEnded
		defer func() { returned <- err }()
		defer rescue(&err, "Start")
		err = d.StartCodec(ctx, topic)
	}()
	select {
	case err := <-returned:
		return err
	case <-ctx.Done():
	}
	// Its own error says more than ctx's.
	select {
	case err := <-returned:
		return err
	case <-time.After(startPatience):
		return fmt.Errorf("its Start has not returned: %w", context.Cause(ctx))
	}
}

// startPatience is how long the Start of a codec is waited for once its context has ended.
const startPatience = time.Second

// errStartEnded is the error of a codec whose Start called runtime.Goexit.
var errStartEnded = errors.New("its Start ended its goroutine")
