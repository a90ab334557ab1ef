package telemetry

import "go.opentelemetry.io/otel/attribute"

// Attributes of the conventions.
//
// The record's key and the event's subject are omitted: they often identify persons, and
// the event's id finds both.
const (
	System           = attribute.Key("messaging.system")
	OperationName    = attribute.Key("messaging.operation.name")
	OperationType    = attribute.Key("messaging.operation.type")
	Destination      = attribute.Key("messaging.destination.name")
	PartitionID      = attribute.Key("messaging.destination.partition.id")
	ConsumerGroup    = attribute.Key("messaging.consumer.group.name")
	Offset           = attribute.Key("messaging.kafka.offset")
	Tombstone        = attribute.Key("messaging.kafka.message.tombstone")
	MessageID        = attribute.Key("messaging.message.id")
	ConversationID   = attribute.Key("messaging.message.conversation_id") // the correlation id
	BodySize         = attribute.Key("messaging.message.body.size")
	BatchCount       = attribute.Key("messaging.batch.message_count")
	EventID          = attribute.Key("cloudevents.event_id")
	EventSource      = attribute.Key("cloudevents.event_source")
	EventType        = attribute.Key("cloudevents.event_type")
	EventVersion     = attribute.Key("cloudevents.event_spec_version")
	ErrorType        = attribute.Key("error.type")
	ExceptionType    = attribute.Key("exception.type")
	ExceptionMessage = attribute.Key("exception.message")
	ExceptionStack   = attribute.Key("exception.stacktrace")
	SystemKafka      = "kafka"
	EventVersionOne  = "1.0"
	ErrorOther       = "_OTHER" // the conventions' fallback
)

// Attributes of our own.
const (
	Cluster          = attribute.Key("eventbus.cluster") // Config.Name
	Attempt          = attribute.Key("eventbus.attempt") // from 1
	CausationID      = attribute.Key("eventbus.causation_id")
	Redeliveries     = attribute.Key("eventbus.redeliveries")
	OriginTopic      = attribute.Key("eventbus.origin.topic")
	OriginPartition  = attribute.Key("eventbus.origin.partition")
	OriginOffset     = attribute.Key("eventbus.origin.offset")
	DeadLetterReason = attribute.Key("eventbus.dead_letter.reason")
	SkipReason       = attribute.Key("eventbus.skip.reason")
	Subscription     = attribute.Key("eventbus.subscription")
	BreakerName      = attribute.Key("eventbus.breaker.name")
	BreakerState     = attribute.Key("eventbus.breaker.state")
)
