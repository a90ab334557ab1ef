package telemetry

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// errorTypes are the values of error.type, in the order in which they are
// looked for: few, and known beforehand.
var errorTypes = []struct {
	err  error
	name string
}{
	{resilience.ErrOpen, "circuit_open"},
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

// errorType is the error.type of an operation, empty for none.
func ErrorClass(err error) string {
	if err == nil {
		return ""
	}
	for _, t := range errorTypes {
		if errors.Is(err, t.err) {
			return t.name
		}
	}
	return ErrorOther
}

// failed makes a span one of an operation that failed.
func failed(span trace.Span, kind string, err error) { failedAt(span, kind, err, nil) }

func failedAt(span trace.Span, kind string, err error, stack []byte) {
	if !span.IsRecording() {
		return
	}
	var options []trace.EventOption
	if stack != nil {
		options = append(options, trace.WithAttributes(ExceptionStack.String(Clipped(string(stack), MaxStackText))))
	}
	text := Clipped(err.Error(), MaxErrorText)
	span.SetAttributes(ErrorType.String(kind))
	span.SetStatus(codes.Error, text)
	span.RecordError(err, options...)
}
