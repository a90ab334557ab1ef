package eventbus

import (
	"context"
	"errors"

	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/transport"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// errorTypes are the values of error.type, in the order in which they are
// looked for: few, and known beforehand.
var errorTypes = []struct {
	err  error
	name string
}{
	{ErrCircuitOpen, "circuit_open"},
	{ErrTooLarge, "too_large"},
	{ErrTopicMissing, "topic_missing"},
	{ErrSerialization, "serialization"},
	{transport.ErrUnauthorized, "unauthorized"},
	{transport.ErrRejected, "rejected"},
	{transport.ErrFenced, "fenced"},
	{ErrOutcomeUnknown, "outcome_unknown"},
	{ErrClosed, "closed"},
	{context.DeadlineExceeded, "timeout"},
	{context.Canceled, "canceled"},
}

// errorType is the error.type of an operation, empty for none.
func errorType(err error) string {
	if err == nil {
		return ""
	}
	for _, t := range errorTypes {
		if errors.Is(err, t.err) {
			return t.name
		}
	}
	return telemetry.ErrorOther
}

// handlingErrorType is the error.type of an attempt at handling.
func handlingErrorType(err error) string {
	if err == nil {
		return ""
	}
	if reason := judge(err).Reason; reason != reasonHandler {
		return reason
	}
	return errorType(err)
}

// failed makes a span one of an operation that failed.
func failed(span trace.Span, kind string, err error) {
	if !span.IsRecording() {
		return
	}
	var options []trace.EventOption
	if panicked, ok := errors.AsType[*PanicError](err); ok {
		options = append(options, trace.WithAttributes(telemetry.ExceptionStack.String(clipped(string(panicked.Stack), maxStackText))))
	}
	text := clipped(err.Error(), maxErrorText)
	span.SetAttributes(telemetry.ErrorType.String(kind))
	span.SetStatus(codes.Error, text)
	span.RecordError(err, options...)
}
