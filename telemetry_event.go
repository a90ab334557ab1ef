package eventbus

import (
	"log/slog"
	"strconv"

	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// appendEvent appends what identifies an event to the attributes of its span.
// Data, key and subject are never told.
func appendEvent(attributes []attribute.KeyValue, e *Envelope) []attribute.KeyValue {
	attributes = append(attributes, telemetry.MessageID.String(e.ID), telemetry.EventID.String(e.ID), telemetry.EventSource.String(e.Source),
		telemetry.EventType.String(e.Type), telemetry.EventVersion.String(telemetry.EventVersionOne), telemetry.BodySize.Int(len(e.Data)))
	if e.CorrelationID != "" {
		attributes = append(attributes, telemetry.ConversationID.String(e.CorrelationID))
	}
	if e.CausationID != "" {
		attributes = append(attributes, telemetry.CausationID.String(e.CausationID))
	}
	if e.Tombstone {
		attributes = append(attributes, telemetry.Tombstone.Bool(true))
	}
	return attributes
}

// appendPlace appends where a received event stands, and where it came from.
func appendPlace(attributes []attribute.KeyValue, e *Envelope) []attribute.KeyValue {
	attributes = append(attributes, partitionID(e.Partition), telemetry.Offset.Int64(e.Offset))
	if e.Origin.Topic != "" {
		attributes = appendOrigin(append(attributes, telemetry.Redeliveries.Int(e.Redeliveries)),
			e.Origin.Topic, e.Origin.Partition.Partition, e.Origin.Offset)
	}
	return attributes
}

func appendOrigin(attributes []attribute.KeyValue, topic string, partition int32, offset int64) []attribute.KeyValue {
	return append(attributes, telemetry.OriginTopic.String(topic), telemetry.OriginPartition.Int(int(partition)), telemetry.OriginOffset.Int64(offset))
}

func partitionID(n int32) attribute.KeyValue {
	return telemetry.PartitionID.String(strconv.Itoa(int(n)))
}

// eventFields identify a received event in logs.
func eventFields(e *Envelope) []slog.Attr {
	fields := append(make([]slog.Attr, 0, 16), slog.String(telemetry.LogEvent, e.ID), slog.String(telemetry.LogEventType, e.Type),
		slog.String(telemetry.LogTopic, e.Topic), slog.Int64(telemetry.LogPartition, int64(e.Partition)), slog.Int64(telemetry.LogOffset, e.Offset))
	return appendStory(fields, e)
}

// appendStory appends the story that an event belongs to.
func appendStory(fields []slog.Attr, e *Envelope) []slog.Attr {
	if e.CorrelationID != "" {
		fields = append(fields, slog.String(telemetry.LogCorrelation, e.CorrelationID))
	}
	if e.CausationID != "" {
		fields = append(fields, slog.String(telemetry.LogCausation, e.CausationID))
	}
	return fields
}

// appendTrace appends the trace that a log record belongs to.
func appendTrace(fields []slog.Attr, c trace.SpanContext) []slog.Attr {
	if !c.IsValid() {
		return fields
	}
	return append(fields, slog.String(telemetry.LogTrace, c.TraceID().String()), slog.String(telemetry.LogSpan, c.SpanID().String()))
}

// envelopeOf reads as much of a record as can be read: for what is told of
// records that may be no events.
func envelopeOf(r *transport.Record) *Envelope {
	e := new(Envelope)
	if err := wire.Decode(r, (*wire.Event)(e)); err != nil {
		e.Topic, e.Partition, e.Offset, e.Headers = r.Topic, r.Partition, r.Offset, r.Headers
	}
	redelivered(e)
	return e
}
