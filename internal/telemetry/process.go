package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// ProcessSignals reports on one topic that a group handles. Everything that all
// of its events share is built once, here.
type ProcessSignals struct {
	*GroupSignals
	// process is the name and the attributes of attempts' spans, and starts has the
	// []trace.SpanStartOption that they start with, by partition.
	process spanKind
	starts  sync.Map
	// outcomes counts by error, letters and skips by reason, unknown skipped events
	// by type.
	outcomes       *family
	letters        *family // by reason
	skips          *family // by reason
	discards       *family // by error
	unknown        *family // skipped by type
	consumed, base *labels
	Failures       LogLimit
	discarded      Once       // classes of errors that were logged
	Form           *wire.Form // of the topic's records; nil for CloudEvents
}

// newProcessSignals prepares the span attributes and metric labels of a topic.
func newProcessSignals(g *GroupSignals, topic string) *ProcessSignals {
	destination, group := Destination.String(topic), ConsumerGroup.String(g.name)
	process := g.spanKind(Process, Process, topic, group)
	base := g.attributes(destination, group)
	return &ProcessSignals{
		GroupSignals: g,
		process:      process,
		outcomes:     newFamily(ErrorType, process.attributes...),
		letters:      newFamily(DeadLetterReason, base...),
		skips:        newFamily(SkipReason, base...),
		discards:     newFamily(ErrorType, base...),
		unknown:      newFamily(EventType, append(base[:len(base):len(base)], SkipReason.String(letter.ReasonUnknownType))...),
		consumed:     newLabels(g.operation(Poll, TypeReceive, destination, group)...),
		base:         newLabels(base...),
	}
}

// attempt is what a report needs to know about an attempt at handling: its number and
// its events. It is also the context that the handler gets.
type attempt interface {
	// Number counts from 1; Len is at least 1. Event returns event i, valid until
	// the attempt ends.
	context.Context
	Number() int
	Len() int
	Event(i int) *wire.Event
}

// Processing is the report of one attempt that has started and not ended. It is
// a value, so that an attempt without listeners allocates nothing.
type Processing struct {
	h *ProcessSignals
	a attempt
	// span is nil without tracing. start is zero unless timed.
	span  trace.Span
	start time.Time
	// debug reports whether the log takes debug records, and timed whether the duration
	// is needed.
	debug, timed bool
}

// Start begins the report of an attempt. Its span is a child of the span that
// sent the event. The returned context carries that span for the handler; it is
// nil if there is neither a span nor a trace to carry.
func (h *ProcessSignals) Start(ctx context.Context, a attempt) (Processing, context.Context) {
	t := Processing{h: h, a: a, debug: h.Log.Enabled(a, slog.LevelDebug)}
	t.timed = t.debug || h.metrics.process.Enabled(a)
	if t.timed {
		t.start = time.Now()
	}
	values, span := h.begin(ctx, a)
	t.span = span
	if t.debug {
		h.Log.LogAttrs(a, slog.LevelDebug, "handling", h.fields(a, span)...)
	}
	if a.Number() > 1 {
		h.metrics.retries.Add(a, 1, h.base.add...)
	}
	return t, values
}

// End ends the report with the handler's error, its error.type, and the stack of
// a panic. It must be called once.
func (t *Processing) End(err error, kind string, stack []byte) {
	h, s, span := t.h, t.a, t.span
	var took time.Duration
	if t.timed {
		took = time.Since(t.start)
		h.metrics.process.Record(s, took.Seconds(), h.outcomes.of(kind).record...)
	}
	switch {
	case err != nil:
		h.logFailure(s, span, took, err)
	case t.debug:
		h.Log.LogAttrs(s, slog.LevelDebug, "handled", append(h.fields(s, span), slog.Duration(LogTook, took))...)
	}
	if span != nil {
		if err != nil {
			failedAt(span, kind, err, stack)
		}
		span.End()
	}
}

// begin returns a context with the trace of the attempt's event, and starts the
// attempt's span if a tracer records spans. The span of a batch has no single
// parent; it is linked to the spans that created its events instead, as the
// conventions ask.
func (h *ProcessSignals) begin(ctx context.Context, s attempt) (values context.Context, span trace.Span) {
	t, first, alone := &h.Tracing, s.Event(0), s.Len() == 1
	if alone && t.carried(first) {
		ctx = t.extract(ctx, first)
		values = ctx
	}
	if !t.on() {
		return values, nil
	}
	options := h.start(first.Partition)
	if alone {
		if link, ok := origin(ctx, first); ok {
			options = append(options, trace.WithLinks(link))
		}
	} else {
		for i := range s.Len() {
			e := s.Event(i)
			if c := trace.SpanContextFromContext(t.extract(context.Background(), e)); c.IsValid() {
				options = append(options, trace.WithLinks(trace.Link{SpanContext: c, Attributes: []attribute.KeyValue{
					MessageID.String(ClippedName(e.ID)), Offset.Int64(e.Offset),
				}}))
			}
		}
	}
	values, span = t.tracer.Start(ctx, h.process.name, options...)
	if span.IsRecording() {
		span.SetAttributes(eventAttributes(s)...)
	}
	return values, span
}

// start returns the options that a span of events of a partition starts with. They have
// what a sampler may decide by, as the conventions name it, and nothing of the events:
// most spans are not recorded. What is appended does not share the slice's memory.
func (h *ProcessSignals) start(partition int32) []trace.SpanStartOption {
	if known, ok := h.starts.Load(partition); ok {
		return known.([]trace.SpanStartOption)
	}
	options := h.process.start(trace.SpanKindConsumer, partitionID(partition))
	h.starts.Store(partition, options)
	return options
}

// eventAttributes returns the attributes of an attempt's span that no other has.
func eventAttributes(s attempt) []attribute.KeyValue {
	number := Attempt.Int(s.Number())
	if n := s.Len(); n > 1 {
		return []attribute.KeyValue{BatchCount.Int(n), number}
	}
	e := s.Event(0)
	return append(appendPlace(newEvent(e), e), number)
}

// origin returns a link to the span that an event was created in, and whether
// that differs from the last hop's span. It does where the event came through a
// bridge or another intermediary that started a trace of its own.
func origin(ctx context.Context, e *wire.Event) (trace.Link, bool) {
	last := trace.SpanContextFromContext(ctx).SpanID()
	if e.TraceParent == "" || namesSpan(e.TraceParent, last) {
		return trace.Link{}, false
	}
	c := trace.SpanContextFromContext(created(context.Background(), e))
	return trace.Link{SpanContext: c}, c.IsValid() && c.SpanID() != last
}

// logFailure logs a failed attempt. Of a single event that is at debug level: what
// follows from it is logged too, a wait or a dead letter, and says more. The events of
// a batch are tried alone from then on, so that a failed batch is a warning.
func (h *ProcessSignals) logFailure(s attempt, span trace.Span, took time.Duration, err error) {
	level, quiet := slog.LevelDebug, slog.Attr{}
	if s.Len() > 1 {
		level, quiet = h.Failures.Next(slog.LevelWarn)
	}
	if h.Log.Enabled(s, level) {
		h.Log.LogAttrs(s, level, "handler failed", append(h.fields(s, span),
			slog.Bool(LogKeyed, s.Event(0).Key != nil), slog.Duration(LogTook, took), slog.Any(LogError, err), quiet)...)
	}
}

// Unreadable logs a record that is not an event, which no handler sees.
func (h *ProcessSignals) Unreadable(r *transport.Record, err error) {
	level, quiet := h.Failures.Next(slog.LevelWarn)
	if ctx := context.Background(); h.Log.Enabled(ctx, level) {
		h.Log.LogAttrs(ctx, level, "not an event", slog.String(LogTopic, r.Topic), slog.Int64(LogPartition, int64(r.Partition)),
			slog.Int64(LogOffset, r.Offset), slog.Any(LogError, err), quiet)
	}
}

// fields returns the log fields that identify an attempt. Those of a batch are
// its first event's, and the number of events.
func (h *ProcessSignals) fields(d attempt, span trace.Span) []slog.Attr {
	fields := eventFields(d.Event(0))
	fields = append(fields, slog.Int(LogAttempt, d.Number()))
	if d.Len() > 1 {
		fields = append(fields, slog.Int(LogEvents, d.Len()))
	}
	if span != nil {
		fields = appendTrace(fields, span.SpanContext())
	}
	return fields
}
