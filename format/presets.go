package format

import (
	"fmt"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport"
)

// Pointers, so that two calls return the same format.
var (
	watermill = &plain{
		name: "watermill", id: "_watermill_message_uuid", typ: "name",
		// Every other metadata entry is a header of its own, and stays one in the
		// envelope.
	}
	spring = &plain{name: "spring", typ: "__TypeId__"}
	// Wolverine's EnvelopeConstants, which KafkaEnvelopeMapper writes.
	wolverine = &plain{
		name: "wolverine", id: "id", typ: "message-type", typed: true, sourceHeader: "source", correlation: "correlation-id", contentType: "content-type",
		time: "sent-at", readTime: readSentAt, writeTime: writeSentAt, uuid: true,
	}
	// MassTransit's MessageHeaders. Types are URNs; for a message that implements several
	// contracts, the most derived comes first.
	massTransit = &plain{
		name: "masstransit", id: "MessageId", typ: "MT-MessageType", firstType: true, sourceHeader: "MT-Source-Address", correlation: "CorrelationId",
		contentType: "Content-Type", uuid: true,
	}
)

// Watermill returns the format of watermill-kafka's DefaultMarshaler and its
// NewWithPartitioningMarshaler: the message's UUID is the id, its payload the data, and its
// metadata entry "name", which Watermill's CQRS marshalers set, the type. Messages without that
// entry have the topic's only type. Other metadata is in Envelope.Headers; WithHeader writes
// it.
//
// Watermill's publisher chooses partitions as sarama does. If both write, set
// TopicConfig.Partitioner to FNV1a.
func Watermill() eventbus.Format { return watermill }

// Spring returns the format of Spring Kafka's JsonSerializer: the header __TypeId__ is the
// type, by default the name of the Java class, or its mapping by spring.json.type.mapping.
// Records without it, as with spring.json.add.type.headers=false, have the topic's only type.
func Spring() eventbus.Format { return spring }

// Wolverine returns the format of WolverineFx.Kafka's default envelope mapper: the headers id,
// message-type, source, correlation-id, content-type and sent-at. Types are Wolverine's message
// type names: the full CLR name, unless MessageIdentity says otherwise. Other headers are in
// Envelope.Headers.
//
// Momentum services publish CloudEvents and need no format.
func Wolverine() eventbus.Format { return wolverine }

// MassTransit returns the format of MassTransit's Kafka rider with its default raw JSON
// serializer: the headers MessageId, MT-MessageType, MT-Source-Address, CorrelationId and
// Content-Type. Types are URNs such as urn:message:Contracts:OrderSubmitted; if there are
// several, the first counts.
func MassTransit() eventbus.Format { return massTransit }

// sentAt is Wolverine's form of a time without its microseconds, which follow a colon: package
// time has no layout for that.
const sentAt = "2006-01-02 15:04:05"

// readSentAt reads "2026-11-27 01:02:03:000456 Z", and the RFC 3339 that older
// versions wrote. It returns a zero time for anything else.
func readSentAt(s string) time.Time {
	text, utc := strings.CutSuffix(s, " Z")
	if at := strings.LastIndexByte(text, ':'); utc && at > len(sentAt)-1 {
		if t, err := time.Parse(sentAt+".000000", text[:at]+"."+text[at+1:]); err == nil {
			return t
		}
	}
	return rfc3339(s)
}

func writeSentAt(t time.Time) string {
	t = t.UTC()
	return fmt.Sprintf("%s:%06d Z", t.Format(sentAt), t.Nanosecond()/1000)
}

// Detect returns the format whose characteristic headers a record has. It returns
// false for CloudEvents, and for records without such headers. It is for tools that
// show topics without their declarations; services declare their formats.
func Detect(r *transport.Record) (eventbus.Format, bool) {
	has := func(names ...string) bool {
		for _, name := range names {
			if _, ok := r.Header(name); !ok {
				return false
			}
		}
		return true
	}
	switch {
	case has("ce_id"):
	case has(watermill.id):
		return watermill, true
	case has(spring.typ):
		return spring, true
	case has(wolverine.typ, wolverine.id):
		return wolverine, true
	case has(massTransit.id):
		return massTransit, true
	case has("id", "eventType"):
		return debezium, true
	}
	return nil, false
}

// debezium is the Debezium format returned by Detect.
var debezium = Debezium(DebeziumConfig{})
