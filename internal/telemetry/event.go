package telemetry

import (
	"log/slog"
	"strconv"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// appendEvent appends the attributes that identify an event to those of its
// span. Data, key and subject are never reported: they may name persons.
func appendEvent(attributes []attribute.KeyValue, e *wire.Event) []attribute.KeyValue {
	id := ClippedName(e.ID)
	attributes = append(attributes, MessageID.String(id), EventID.String(id), EventSource.String(ClippedName(e.Source)),
		EventType.String(ClippedName(e.Type)), EventVersion.String(EventVersionOne), BodySize.Int(len(e.Data)))
	if e.CorrelationID != "" {
		attributes = append(attributes, ConversationID.String(ClippedName(e.CorrelationID)))
	}
	if e.CausationID != "" {
		attributes = append(attributes, CausationID.String(ClippedName(e.CausationID)))
	}
	if e.Tombstone {
		attributes = append(attributes, Tombstone.Bool(true))
	}
	return attributes
}

// newEvent returns the attributes that identify an event, for a span that is recorded.
// They are a new slice because the SDK may keep it; the capacity leaves room for those
// that callers append.
func newEvent(e *wire.Event) []attribute.KeyValue {
	return appendEvent(make([]attribute.KeyValue, 0, 16), e)
}

// appendPlace appends the offset of a received event and, for a redelivered
// one, the position at which it was first read.
func appendPlace(attributes []attribute.KeyValue, e *wire.Event) []attribute.KeyValue {
	attributes = append(attributes, Offset.Int64(e.Offset))
	if e.Origin.Topic != "" {
		attributes = appendOrigin(append(attributes, Redeliveries.Int(e.Redeliveries)),
			e.Origin.Topic, e.Origin.Partition.Partition, e.Origin.Offset)
	}
	return attributes
}

// appendOrigin appends the position at which an event was first read.
func appendOrigin(attributes []attribute.KeyValue, topic string, partition int32, offset int64) []attribute.KeyValue {
	return append(attributes, OriginTopic.String(ClippedName(topic)), OriginPartition.Int(int(partition)), OriginOffset.Int64(offset))
}

// partitionID returns the attribute of a partition, which the conventions make a
// text.
func partitionID(n int32) attribute.KeyValue {
	return PartitionID.String(strconv.Itoa(int(n)))
}

// eventFields returns the log fields that identify a received event. The
// capacity leaves room for the fields that callers append.
func eventFields(e *wire.Event) []slog.Attr {
	fields := append(make([]slog.Attr, 0, 16), slog.String(LogEvent, ClippedName(e.ID)), slog.String(LogEventType, ClippedName(e.Type)),
		slog.String(LogTopic, e.Topic), slog.Int64(LogPartition, int64(e.Partition)), slog.Int64(LogOffset, e.Offset))
	return appendCauses(fields, e)
}

// appendCauses appends the correlation and causation ids of an event, which
// connect it with the events before it. An event without them gets no field.
func appendCauses(fields []slog.Attr, e *wire.Event) []slog.Attr {
	if e.CorrelationID != "" {
		fields = append(fields, slog.String(LogCorrelation, ClippedName(e.CorrelationID)))
	}
	if e.CausationID != "" {
		fields = append(fields, slog.String(LogCausation, ClippedName(e.CausationID)))
	}
	return fields
}

// appendTrace appends the trace and span that a log record belongs to, if any.
func appendTrace(fields []slog.Attr, c trace.SpanContext) []slog.Attr {
	if !c.IsValid() {
		return fields
	}
	return append(fields, slog.String(LogTrace, c.TraceID().String()), slog.String(LogSpan, c.SpanID().String()))
}

// EventOf decodes as much of a record as can be decoded, for reports about
// records that may not be events. An undecodable record still has its position
// and headers, and so its trace. It allocates, so only rare reports use it.
func EventOf(form *wire.Form, r *transport.Record) *wire.Event {
	e := new(wire.Event)
	if err := letter.Decode(form, r, e); err != nil {
		e.Topic, e.Partition, e.Offset, e.Headers = r.Topic, r.Partition, r.Offset, r.Headers
		letter.Redelivered(e)
	}
	return e
}

// Bounds of the texts that a dead letter and a span carry, in bytes. Brokers and
// exporters limit the whole record; a stack is long and its top says most.
const (
	MaxErrorText = 2 << 10
	MaxStackText = 16 << 10
	// maxName bounds an id, a type or a source, which a foreign producer chooses
	// and which every label, span and log record about its event repeats.
	maxName = 256
)

// ClippedName returns a name that may come from outside, shortened for a label, a
// span, a log record or the key of a map.
//
//go:noinline
func ClippedName(name string) string { return Clipped(name, maxName) }

// Clipped returns text shortened to at most n bytes and an ellipsis, cut between
// two characters so that the result stays valid UTF-8.
//
//go:noinline
func Clipped(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}
