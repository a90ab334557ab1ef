package eventbus

import (
	"context"
	"log/slog"
	"time"

	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/transport"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// handling is what is told of a topic that a group handles.
type handling struct {
	*groupSignals
	process        spanKind
	outcomes       *family // by error
	letters        *family // by reason
	skips          *family // by reason
	unknown        *family // skipped by type
	consumed, base *labels
	failures       logLimit
}

func newHandling(g *groupSignals, topic string) *handling {
	destination, group := telemetry.Destination.String(topic), telemetry.ConsumerGroup.String(g.name)
	process := g.spanKind(telemetry.Process, telemetry.Process, topic, group)
	base := g.attributes(destination, group)
	return &handling{
		groupSignals: g,
		process:      process,
		outcomes:     newFamily(telemetry.ErrorType, process.attributes...),
		letters:      newFamily(telemetry.DeadLetterReason, base...),
		skips:        newFamily(telemetry.SkipReason, base...),
		unknown:      newFamily(telemetry.EventType, append(base[:len(base):len(base)], telemetry.SkipReason.String(reasonUnknownType))...),
		consumed:     newLabels(g.operation(telemetry.Poll, telemetry.TypeReceive, destination, group)...),
		base:         newLabels(base...),
	}
}

// attempt runs a handler once, as the child of the span that sent its event.
func (h *handling) attempt(s *scope, handler Handler) error {
	debug := h.log.Enabled(s, slog.LevelDebug)
	timed := debug || h.metrics.process.Enabled(s)
	var start time.Time
	if timed {
		start = time.Now()
	}
	span := h.begin(s)
	if debug {
		h.log.LogAttrs(s, slog.LevelDebug, "handling", h.fields(s.delivery, span)...)
	}
	if s.delivery.Attempt > 1 {
		h.metrics.retries.Add(s, 1, h.base.add...)
	}
	err := attempt(s, handler)
	kind := handlingErrorType(err)
	var took time.Duration
	if timed {
		took = time.Since(start)
		h.metrics.process.Record(s, took.Seconds(), h.outcomes.of(kind).record...)
	}
	switch {
	case err != nil:
		h.logFailure(s, span, took, err)
	case debug:
		h.log.LogAttrs(s, slog.LevelDebug, "handled", append(h.fields(s.delivery, span), slog.Duration(telemetry.LogTook, took))...)
	}
	if span != nil {
		if err != nil {
			failed(span, kind, err)
		}
		span.End()
	}
	return err
}

// begin puts the attempt into the trace of its event, and starts its span if
// anybody listens. A batch has links to the spans that made its events instead.
func (h *handling) begin(s *scope) trace.Span {
	events, t := s.delivery.Events, &h.tracing
	ctx := s.Context
	if len(events) == 1 && t.carried(events[0]) {
		ctx = t.extract(ctx, events[0])
		s.values = ctx
	}
	if !t.on() {
		return nil
	}
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer)}
	if len(events) == 1 {
		e := events[0]
		options = append(options, trace.WithAttributes(appendPlace(h.process.of(e), e)...),
			trace.WithAttributes(telemetry.Attempt.Int(s.delivery.Attempt)))
		if link, ok := origin(ctx, e); ok {
			options = append(options, trace.WithLinks(link))
		}
	} else {
		options = append(options, trace.WithAttributes(h.process.attributes...), trace.WithAttributes(telemetry.BatchCount.Int(len(events)),
			partitionID(events[0].Partition), telemetry.Attempt.Int(s.delivery.Attempt)))
		for _, e := range events {
			if c := trace.SpanContextFromContext(t.extract(context.Background(), e)); c.IsValid() {
				options = append(options, trace.WithLinks(trace.Link{SpanContext: c, Attributes: []attribute.KeyValue{
					telemetry.MessageID.String(e.ID), telemetry.Offset.Int64(e.Offset),
				}}))
			}
		}
	}
	ctx, span := t.tracer.Start(ctx, h.process.name, options...)
	s.values = ctx
	return span
}

// origin is a link to the span that an event was created in, where that is not
// the last hop's: the event came through a bridge.
func origin(ctx context.Context, e *Envelope) (trace.Link, bool) {
	if e.TraceParent == "" {
		return trace.Link{}, false
	}
	c := trace.SpanContextFromContext(created(context.Background(), e))
	return trace.Link{SpanContext: c}, c.IsValid() && c.SpanID() != trace.SpanContextFromContext(ctx).SpanID()
}

// logFailure tells of a failed attempt: the first of an event loudly, since what
// comes after it is a retry, or a dead letter and loud again.
func (h *handling) logFailure(s *scope, span trace.Span, took time.Duration, err error) {
	level, quiet := slog.LevelDebug, slog.Attr{}
	if s.delivery.Attempt == 1 {
		level, quiet = h.failures.next(slog.LevelWarn)
	}
	if h.log.Enabled(s, level) {
		h.log.LogAttrs(s, level, "handler failed", append(h.fields(s.delivery, span),
			slog.Duration(telemetry.LogTook, took), slog.Any(telemetry.LogError, err), quiet)...)
	}
}

// unreadable tells of a record that is no event, which no handler sees.
func (h *handling) unreadable(r *transport.Record, err error) {
	level, quiet := h.failures.next(slog.LevelWarn)
	if ctx := context.Background(); h.log.Enabled(ctx, level) {
		h.log.LogAttrs(ctx, level, "not an event", slog.String(telemetry.LogTopic, r.Topic), slog.Int64(telemetry.LogPartition, int64(r.Partition)),
			slog.Int64(telemetry.LogOffset, r.Offset), slog.Any(telemetry.LogError, err), quiet)
	}
}

// fields identify an attempt in logs.
func (h *handling) fields(d *Delivery, span trace.Span) []slog.Attr {
	fields := eventFields(d.Events[0])
	fields = append(fields, slog.Int(telemetry.LogAttempt, d.Attempt))
	if len(d.Events) > 1 {
		fields = append(fields, slog.Int(telemetry.LogEvents, len(d.Events)))
	}
	if span != nil {
		fields = appendTrace(fields, span.SpanContext())
	}
	return fields
}
