package eventbus

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/transport"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// sending is what is told of a topic that is published on.
type sending struct {
	*signals
	topic        string
	send, create spanKind
	outcomes     *family // by error
}

// spanKind is what all spans of one name have in common.
type spanKind struct {
	name       string
	attributes []attribute.KeyValue
}

func (s *signals) spanKind(operation, kind, destination string, more ...attribute.KeyValue) spanKind {
	return spanKind{
		name:       telemetry.SpanName(operation, destination),
		attributes: s.operation(operation, kind, append(more, telemetry.Destination.String(destination))...),
	}
}

// pending counts what the producer has and no outcome is known of.
type pending struct{ events, bytes atomic.Int64 }

func newSending(s *signals, topic string) *sending {
	send := s.spanKind(telemetry.Send, telemetry.Send, topic)
	return &sending{
		signals: s, topic: topic,
		send:     send,
		create:   s.spanKind(telemetry.Create, telemetry.Create, topic),
		outcomes: newFamily(telemetry.ErrorType, send.attributes...),
	}
}

// flight is one event on its way to the log. It is a part of what hears the
// outcome, which tells the flight first.
type flight struct {
	of    *sending // of and id stay as they are made
	id    string
	span  trace.Span // nil without tracing
	start time.Time  // zero where nobody asks how long it took
	size  int64      // while it is counted as pending
	part  bool       // of a batch, which has a span and a duration of its own
}

// depart begins the flight of an event, and writes its trace into it. batch is nil
// for an event that is published alone.
func (f *flight) depart(ctx context.Context, e *Envelope, batch *batchFlight) {
	s := f.of
	f.part = batch != nil
	debug := s.log.Enabled(ctx, slog.LevelDebug)
	if debug || s.metrics.operation.Enabled(ctx) {
		f.start = time.Now()
	}
	if s.tracing.on() {
		kind := &s.send
		if f.part {
			kind = &s.create
		}
		ctx, f.span = s.tracing.tracer.Start(ctx, kind.name, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(kind.of(e)...))
		if f.part {
			batch.link(f.span)
			f.span.End()
		}
	}
	s.tracing.inject(ctx, e)
	if debug {
		fields := append(f.fields(), slog.String(telemetry.LogEventType, e.Type))
		s.log.LogAttrs(ctx, slog.LevelDebug, "publishing", appendStory(fields, e)...)
	}
}

// of are the attributes of an event's span.
func (k *spanKind) of(e *Envelope) []attribute.KeyValue {
	return appendEvent(append(make([]attribute.KeyValue, 0, len(k.attributes)+18), k.attributes...), e)
}

// carry makes a flight pending: it waits for room and for its outcome.
func (f *flight) carry(r *transport.Record) {
	if f.of.metrics.off {
		return
	}
	f.size = int64(r.Size())
	f.of.pending.events.Add(1)
	f.of.pending.bytes.Add(f.size)
}

// landed ends the flight with the producer's outcome.
func (f *flight) landed(p transport.Position, err error) {
	s, ctx := f.of, context.Background()
	s.metrics.sent.Add(ctx, 1, s.outcomes.of(errorType(err)).add...)
	level, quiet := slog.LevelDebug, slog.Attr{}
	if err != nil {
		// Whoever published without waiting may never look at the receipt.
		level, quiet = s.failures.next(slog.LevelWarn)
	}
	if s.log.Enabled(ctx, level) {
		fields := append(f.fields(), slog.Int64(telemetry.LogPartition, int64(p.Partition.Partition)), slog.Int64(telemetry.LogOffset, p.Offset))
		if !f.start.IsZero() {
			fields = append(fields, slog.Duration(telemetry.LogTook, time.Since(f.start)))
		}
		if err != nil {
			s.log.LogAttrs(ctx, level, "not published", append(fields, slog.Any(telemetry.LogError, err), quiet)...)
		} else {
			s.log.LogAttrs(ctx, level, "published", fields...)
		}
	}
	if f.span != nil && err == nil {
		f.span.SetAttributes(partitionID(p.Partition.Partition), telemetry.Offset.Int64(p.Offset))
	}
	f.end(err)
}

// refused ends a flight that never took off: its caller hears err.
func (f *flight) refused(err error) error {
	if ctx := context.Background(); f.of.log.Enabled(ctx, slog.LevelDebug) {
		f.of.log.LogAttrs(ctx, slog.LevelDebug, "refused", append(f.fields(), slog.Any(telemetry.LogError, err))...)
	}
	f.end(err)
	return err
}

func (f *flight) end(err error) {
	s := f.of
	if f.size > 0 {
		s.pending.events.Add(-1)
		s.pending.bytes.Add(-f.size)
	}
	if !f.part {
		if !f.start.IsZero() {
			s.metrics.operation.Record(context.Background(), time.Since(f.start).Seconds(), s.outcomes.of(errorType(err)).record...)
		}
		if f.span != nil {
			if err != nil {
				failed(f.span, errorType(err), err)
			}
			f.span.End()
		}
	}
	f.span = nil
}

// fields identify the event in logs.
func (f *flight) fields() []slog.Attr {
	fields := append(make([]slog.Attr, 0, 12), slog.String(telemetry.LogEvent, f.id), slog.String(telemetry.LogTopic, f.of.topic))
	if f.span != nil {
		fields = appendTrace(fields, f.span.SpanContext())
	}
	return fields
}

// batchFlight is the send of a PublishBatch. Its span and duration cover all of
// its events; each event has a span that made it, and a flight.
type batchFlight struct {
	of    *sending
	span  trace.Span
	start time.Time
}

func (s *sending) departBatch(ctx context.Context, events int) *batchFlight {
	b := &batchFlight{of: s}
	if s.metrics.operation.Enabled(ctx) {
		b.start = time.Now()
	}
	if s.tracing.on() {
		_, b.span = s.tracing.tracer.Start(ctx, s.send.name, trace.WithSpanKind(trace.SpanKindClient),
			trace.WithAttributes(s.send.attributes...), trace.WithAttributes(telemetry.BatchCount.Int(events)))
	}
	return b
}

// link makes a span the maker of one of the batch's events.
func (b *batchFlight) link(made trace.Span) {
	if b.span != nil {
		b.span.AddLink(trace.Link{SpanContext: made.SpanContext()})
	}
}

func (b *batchFlight) end(err error) {
	kind := errorType(err)
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
