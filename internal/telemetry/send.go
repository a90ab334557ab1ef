package telemetry

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// SendSignals reports on one topic to which the bus publishes. What all of its
// events share is built once, here. It is safe for concurrent use.
type SendSignals struct {
	*Signals
	Topic        string
	send, create spanKind
	// sending and creating are the options with which the spans of events start.
	sending, creating []trace.SpanStartOption
	outcomes          *family // by error
	refusals          *family // by error
}

// spanKind is the name and the attributes that all spans of one operation on one
// destination share.
type spanKind struct {
	name       string
	attributes []attribute.KeyValue
}

// spanKind returns the kind of span of an operation on a destination.
func (s *Signals) spanKind(operation, kind, destination string, more ...attribute.KeyValue) spanKind {
	return spanKind{
		name:       SpanName(operation, destination),
		attributes: s.operation(operation, kind, append(more, Destination.String(destination))...),
	}
}

// pending counts the events, and their bytes, that were handed to the producer and
// whose outcome is not known yet.
type pending struct{ events, bytes atomic.Int64 }

// Refusals counts, for health, the events that were lately refused through no fault
// of their own: a circuit breaker was open or the buffer was full. The zero value is
// ready, and safe for concurrent use.
type Refusals struct {
	mu    sync.Mutex
	count int64
	last  time.Time
	kind  string
}

// refusalAge is how long a refusal counts.
const refusalAge = time.Minute

// note counts a refusal if kind is that of an open circuit breaker or a full buffer.
func (r *Refusals) note(kind string) {
	if kind != classOpen && kind != classFull {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if now.Sub(r.last) > refusalAge {
		r.count = 0
	}
	r.count++
	r.last, r.kind = now, kind
}

// Recent returns the number of refusals since there last was a minute without any,
// whatever was published in between, and the time and the error.type of the latest.
// The count is 0 if that was more than a minute ago.
func (r *Refusals) Recent() (count int64, last time.Time, kind string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.last) > refusalAge {
		return 0, time.Time{}, ""
	}
	return r.count, r.last, r.kind
}

// newSendSignals prepares the span attributes and metric labels of a topic.
func newSendSignals(s *Signals, topic string) *SendSignals {
	send, create := s.spanKind(Send, Send, topic), s.spanKind(Create, Create, topic)
	o := &SendSignals{
		Signals: s, Topic: topic,
		send: send, create: create,
		sending: send.start(trace.SpanKindProducer), creating: create.start(trace.SpanKindProducer),
		outcomes: newFamily(ErrorType, send.attributes...),
		refusals: newFamily(ErrorType, s.attributes(Destination.String(topic))...),
	}
	// A counter must exist at zero for its first increase to be seen.
	for _, kind := range []string{classOpen, classFull} {
		s.metrics.refused.Add(context.Background(), 0, o.refusals.of(kind).add...)
	}
	return o
}

// Outgoing reports the publishing of one event. It is embedded in the event's
// completion rather than allocated, and must end, by End or Refuse, before that is
// reused.
type Outgoing struct {
	// Of and ID are set by the caller, and then do not change.
	Of *SendSignals
	ID string
	// span is nil without tracing.
	span trace.Span
	// start is zero if the duration is not needed.
	start time.Time
	// size is the record's size in bytes, 0 unless Carry counted the event as pending.
	size int64
	// part reports whether the event belongs to a batch, which has its own span and
	// duration.
	part bool
}

// Start begins the report of an event, and returns the trace that the event should
// carry, or nil. The caller releases the trace. batch is nil for an event that is
// published alone.
func (f *Outgoing) Start(ctx context.Context, e *wire.Event, batch *OutgoingBatch) *TraceContext {
	s := f.Of
	f.part = batch != nil
	debug := s.log.Enabled(ctx, slog.LevelDebug)
	if debug || s.metrics.operation.Enabled(ctx) {
		f.start = time.Now()
	}
	if s.Tracing.on() {
		name, options := s.send.name, s.sending
		if f.part {
			name, options = s.create.name, s.creating
		}
		ctx, f.span = s.Tracing.tracer.Start(ctx, name, options...)
		if f.span.IsRecording() {
			f.span.SetAttributes(newEvent(e)...)
		}
		if f.part {
			batch.link(f.span)
			f.span.End()
		}
	}
	if debug {
		fields := append(f.fields(), slog.String(LogEventType, ClippedName(e.Type)))
		s.log.LogAttrs(ctx, slog.LevelDebug, "publishing", appendCauses(fields, e)...)
	}
	return s.Tracing.contextOf(ctx, e)
}

// start returns the options with which spans of this kind start. The slice has no spare
// capacity, so that spans can share it and append to it.
func (k *spanKind) start(kind trace.SpanKind, more ...attribute.KeyValue) []trace.SpanStartOption {
	return []trace.SpanStartOption{trace.WithSpanKind(kind), trace.WithAttributes(append(slices.Clip(k.attributes), more...)...)}
}

// Carry counts the event as pending until its report ends. With a no-op meter
// provider nothing reads the count, so two contended additions are saved.
func (f *Outgoing) Carry(r *transport.Record) {
	if f.Of.metrics.off {
		return
	}
	f.size = int64(r.Size())
	f.Of.pending.events.Add(1)
	f.Of.pending.bytes.Add(f.size)
}

// End ends the report with the producer's outcome.
func (f *Outgoing) End(p transport.Position, err error) {
	s, ctx := f.Of, context.Background()
	s.metrics.sent.Add(ctx, 1, s.outcomes.of(ErrorClass(err)).add...)
	level, quiet := slog.LevelDebug, slog.Attr{}
	if err != nil {
		// A warning, since a caller that does not wait may never look at the receipt.
		level, quiet = s.failures.Next(slog.LevelWarn)
	}
	if s.log.Enabled(ctx, level) {
		fields := append(f.fields(), slog.Int64(LogPartition, int64(p.Partition.Partition)), slog.Int64(LogOffset, p.Offset))
		if !f.start.IsZero() {
			fields = append(fields, slog.Duration(LogTook, time.Since(f.start)))
		}
		if err != nil {
			s.log.LogAttrs(ctx, level, "not published", append(fields, slog.Any(LogError, err), quiet)...)
		} else {
			s.log.LogAttrs(ctx, level, "published", fields...)
		}
	}
	if f.span != nil && err == nil {
		f.span.SetAttributes(partitionID(p.Partition.Partition), Offset.Int64(p.Offset))
	}
	f.end(err)
}

// Refuse ends the report of an event that was not handed to the producer, because
// of err, and returns err.
func (f *Outgoing) Refuse(err error) error {
	kind := ErrorClass(err)
	f.Of.metrics.refused.Add(context.Background(), 1, f.Of.refusals.of(kind).add...)
	f.Of.Refusals.note(kind)
	if ctx := context.Background(); f.Of.log.Enabled(ctx, slog.LevelDebug) {
		f.Of.log.LogAttrs(ctx, slog.LevelDebug, "refused", append(f.fields(), slog.Any(LogError, err))...)
	}
	f.end(err)
	return err
}

// end reports the duration and ends the span. For an event of a batch it does
// neither: the batch reports one duration, and the event's span has ended.
func (f *Outgoing) end(err error) {
	s := f.Of
	if f.size > 0 {
		s.pending.events.Add(-1)
		s.pending.bytes.Add(-f.size)
	}
	if !f.part {
		if !f.start.IsZero() {
			s.metrics.operation.Record(context.Background(), time.Since(f.start).Seconds(), s.outcomes.of(ErrorClass(err)).record...)
		}
		if f.span != nil {
			if err != nil {
				failed(f.span, ErrorClass(err), err)
			}
			f.span.End()
		}
	}
	f.span = nil
}

// fields returns the log fields that identify the event. The capacity leaves room
// for those that callers append.
func (f *Outgoing) fields() []slog.Attr {
	fields := append(make([]slog.Attr, 0, 12), slog.String(LogEvent, ClippedName(f.ID)), slog.String(LogTopic, f.Of.Topic))
	if f.span != nil {
		fields = appendTrace(fields, f.span.SpanContext())
	}
	return fields
}

// OutgoingBatch reports the publishing of a batch. Its span and duration cover all
// of its events. Each event also has an Outgoing, with a span for its creation.
type OutgoingBatch struct {
	of    *SendSignals
	span  trace.Span
	start time.Time
}

// StartBatch begins the report of a batch of events, whose span will be linked to
// those of the events.
func (s *SendSignals) StartBatch(ctx context.Context, events int) *OutgoingBatch {
	b := &OutgoingBatch{of: s}
	if s.metrics.operation.Enabled(ctx) {
		b.start = time.Now()
	}
	if s.Tracing.on() {
		_, b.span = s.Tracing.tracer.Start(ctx, s.send.name, trace.WithSpanKind(trace.SpanKindClient),
			trace.WithAttributes(s.send.attributes...), trace.WithAttributes(BatchCount.Int(events)))
	}
	return b
}

// link links the batch's span to the span that created one of its events.
func (b *OutgoingBatch) link(made trace.Span) {
	if b.span != nil {
		b.span.AddLink(trace.Link{SpanContext: made.SpanContext()})
	}
}

// LinkEvent links the batch's span to the span that an event carries, for events
// that were created before they are sent.
func (b *OutgoingBatch) LinkEvent(e *wire.Event) {
	if b.span == nil {
		return
	}
	if from := trace.SpanContextFromContext(b.of.Tracing.extract(context.Background(), e)); from.IsValid() {
		b.span.AddLink(trace.Link{SpanContext: from})
	}
}

// End ends the report with the error of the batch as a whole. The Outgoing of each
// event reports that event's outcome.
func (b *OutgoingBatch) End(err error) {
	kind := ErrorClass(err)
	if !b.start.IsZero() {
		b.of.metrics.operation.Record(context.Background(), time.Since(b.start).Seconds(), b.of.outcomes.of(kind).record...)
	}
	if b.span == nil {
		return
	}
	if err != nil {
		failed(b.span, kind, err)
	}
	b.span.End()
}
