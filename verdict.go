package eventbus

import (
	"context"
	"errors"

	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/resilience"
)

// judge says what an attempt's error means to the engine.
//
// The breaker counts what may be the fault of a dependency: not an event that
// can't be read or that the handler refuses for good, and not a cancellation.
func judge(err error) engine.Verdict {
	var batch *BatchError
	var permanent *permanentError
	var after *retryAfterError
	var panicked *PanicError
	var unreadable *undecodableError
	switch {
	case errors.As(err, &batch):
		return engine.Verdict{
			Kind:    engine.Retry,
			Reason:  letter.ReasonHandler,
			Each:    func(i int) error { return batch.Errors[i] },
			Breaker: resilience.Failure,
		}
	case errors.As(err, &unreadable):
		return engine.Verdict{Kind: engine.Dead, Reason: letter.ReasonUndecodable, Breaker: resilience.Ignored}
	case errors.As(err, &permanent):
		return engine.Verdict{Kind: engine.Dead, Reason: letter.ReasonPermanent, Breaker: resilience.Ignored}
	case errors.Is(err, ErrCircuitOpen):
		return engine.Verdict{Kind: engine.Wait, Reason: letter.ReasonHandler, Breaker: resilience.Ignored}
	case errors.As(err, &after):
		return engine.Verdict{Kind: engine.Retry, After: after.after, Reason: letter.ReasonHandler, Breaker: resilience.Failure}
	case errors.As(err, &panicked):
		return engine.Verdict{Kind: engine.Retry, Reason: letter.ReasonPanic, Stack: panicked.Stack, Breaker: resilience.Failure}
	case errors.Is(err, context.DeadlineExceeded):
		return engine.Verdict{Kind: engine.Retry, Reason: letter.ReasonTimeout, Breaker: resilience.Failure}
	case errors.Is(err, context.Canceled):
		return engine.Verdict{Kind: engine.Retry, Reason: letter.ReasonHandler, Breaker: resilience.Ignored}
	}
	return engine.Verdict{Kind: engine.Retry, Reason: letter.ReasonHandler, Breaker: resilience.Failure}
}

// handlingErrorType is the error.type of an attempt at handling.
func handlingErrorType(err error) string {
	if err == nil {
		return ""
	}
	if reason := judge(err).Reason; reason != letter.ReasonHandler {
		return reason
	}
	return telemetry.ErrorClass(err)
}

// panicStack is the stack of a handler's panic, nil for any other error.
func panicStack(err error) []byte {
	if panicked, ok := errors.AsType[*PanicError](err); ok {
		return panicked.Stack
	}
	return nil
}
