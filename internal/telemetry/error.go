package telemetry

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/eventbus-go/eventbus/internal/errtree"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// errorTypes maps errors to values of error.type. The order decides where one
// error is several of them: an open breaker counts as circuit_open, whatever
// opened it. The values are few and fixed, as an attribute of metrics requires;
// error texts would make a time series each.
// The first error that fits counts.
var errorTypes = []struct {
	err  error
	name string
}{
	{resilience.ErrOpen, classOpen},
	{transport.ErrBufferFull, classFull},
	{transport.ErrTooLarge, "too_large"},
	{transport.ErrTopicMissing, "topic_missing"},
	{wire.ErrSerialization, "serialization"},
	{transport.ErrUnauthorized, "unauthorized"},
	{transport.ErrRejected, "rejected"},
	{transport.ErrFenced, "fenced"},
	{transport.ErrOutcomeUnknown, "outcome_unknown"},
	{transport.ErrClosed, "closed"},
	{context.DeadlineExceeded, "timeout"},
	{context.Canceled, "canceled"},
}

// Classes of events that were refused for no fault of theirs.
const (
	classOpen = "circuit_open"
	classFull = "buffer_full"
)

// ErrorClass returns the error.type of an operation's error, "" for nil and
// ErrorOther for an error that errorTypes does not list.
//
//go:noinline
func ErrorClass(err error) string {
	if err == nil {
		return ""
	}
	for _, t := range errorTypes {
		if errtree.Any(err, t.err) {
			return t.name
		}
	}
	return ErrorOther
}

// failed marks span as that of an operation that failed with err.
func failed(span trace.Span, kind string, err error) { failedAt(span, kind, err, nil) }

// failedAt is failed with the stack of a panic, which becomes an attribute of
// the exception event. Texts are clipped, since an error comes from outside and
// exporters refuse or drop spans that are too large. Nothing is formatted for a
// span that is not sampled.
func failedAt(span trace.Span, kind string, err error, stack []byte) {
	if !span.IsRecording() {
		return
	}
	text := Clipped(err.Error(), MaxErrorText)
	exception := []attribute.KeyValue{ExceptionType.String(fmt.Sprintf("%T", err)), ExceptionMessage.String(text)}
	if stack != nil {
		exception = append(exception, ExceptionStack.String(Clipped(string(stack), MaxStackText)))
	}
	span.SetAttributes(ErrorType.String(kind))
	span.SetStatus(codes.Error, text)
	// RecordError would take the whole text.
	span.AddEvent("exception", trace.WithAttributes(exception...))
}
