package telemetry

import (
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/messagingconv"
)

// TestConventions compares the names with the conventions of the version in
// SchemaURL.
func TestConventions(t *testing.T) {
	if SchemaURL != semconv.SchemaURL {
		t.Errorf("SchemaURL is %s, the conventions' %s", SchemaURL, semconv.SchemaURL)
	}
	for _, a := range []struct{ ours, theirs attribute.Key }{
		{System, semconv.MessagingSystemKey},
		{OperationName, semconv.MessagingOperationNameKey},
		{OperationType, semconv.MessagingOperationTypeKey},
		{Destination, semconv.MessagingDestinationNameKey},
		{PartitionID, semconv.MessagingDestinationPartitionIDKey},
		{ConsumerGroup, semconv.MessagingConsumerGroupNameKey},
		{Offset, semconv.MessagingKafkaOffsetKey},
		{Tombstone, semconv.MessagingKafkaMessageTombstoneKey},
		{MessageID, semconv.MessagingMessageIDKey},
		{ConversationID, semconv.MessagingMessageConversationIDKey},
		{BodySize, semconv.MessagingMessageBodySizeKey},
		{BatchCount, semconv.MessagingBatchMessageCountKey},
		{EventID, semconv.CloudEventsEventIDKey},
		{EventSource, semconv.CloudEventsEventSourceKey},
		{EventType, semconv.CloudEventsEventTypeKey},
		{EventVersion, semconv.CloudEventsEventSpecVersionKey},
		{ErrorType, semconv.ErrorTypeKey},
		{ExceptionStack, semconv.ExceptionStacktraceKey},
	} {
		if a.ours != a.theirs {
			t.Errorf("%s is %s in the conventions", a.ours, a.theirs)
		}
	}
	for _, v := range []struct {
		ours   string
		theirs attribute.KeyValue
	}{
		{SystemKafka, semconv.MessagingSystemKafka},
		{Send, semconv.MessagingOperationTypeSend},
		{Create, semconv.MessagingOperationTypeCreate},
		{Process, semconv.MessagingOperationTypeProcess},
		{TypeReceive, semconv.MessagingOperationTypeReceive},
		{TypeSettle, semconv.MessagingOperationTypeSettle},
		{ErrorOther, semconv.ErrorTypeOther},
	} {
		if v.ours != v.theirs.Value.AsString() {
			t.Errorf("%s is %s in the conventions", v.ours, v.theirs.Value.AsString())
		}
	}
	for _, m := range []struct {
		ours   Metric
		theirs interface {
			Name() string
			Unit() string
			Description() string
		}
	}{
		{OperationDuration, messagingconv.ClientOperationDuration{}},
		{SentMessages, messagingconv.ClientSentMessages{}},
		{ConsumedMessages, messagingconv.ClientConsumedMessages{}},
		{ProcessDuration, messagingconv.ProcessDuration{}},
	} {
		if theirs := (Metric{m.theirs.Name(), m.theirs.Unit(), m.theirs.Description()}); m.ours != theirs {
			t.Errorf("%+v is %+v in the conventions", m.ours, theirs)
		}
	}
}

// TestOwnNames: our own names have one prefix, are distinct, and none is the
// namespace of another, which the conventions forbid.
func TestOwnNames(t *testing.T) {
	var names []string
	for _, m := range Metrics() {
		if slices.Contains(names, m.Name) {
			t.Errorf("%s is there twice", m.Name)
		}
		names = append(names, m.Name)
		if !strings.HasPrefix(m.Name, "messaging.") && !strings.HasPrefix(m.Name, "eventbus.") {
			t.Errorf("%s is neither the conventions' nor ours", m.Name)
		}
		if m.Unit == "" || m.Description == "" {
			t.Errorf("%s has no unit or no description", m.Name)
		}
	}
	for _, a := range names {
		for _, b := range names {
			if strings.HasPrefix(a, b+".") {
				t.Errorf("%s is the namespace of %s", b, a)
			}
		}
	}
}
