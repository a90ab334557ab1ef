package eventbus

import (
	"context"
	"errors"

	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/resilience"
)

// Reasons of dead letters, as their eventbus-dlq-reason header says.
const (
	reasonMalformed   = "malformed"    // no CloudEvent
	reasonUndecodable = "undecodable"  // its data can't be read
	reasonUnknownType = "unknown-type" // by DeadLetterUnknown
	reasonPermanent   = "permanent"    // the handler says so
	reasonHandler     = "handler"      // the handler failed; "exhausted" in the end
	reasonPanic       = "panic"
	reasonTimeout     = "timeout"
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
			Reason:  reasonHandler,
			Each:    func(i int) error { return batch.Errors[i] },
			Breaker: resilience.Failure,
		}
	case errors.As(err, &unreadable):
		return engine.Verdict{Kind: engine.Dead, Reason: reasonUndecodable, Breaker: resilience.Ignored}
	case errors.As(err, &permanent):
		return engine.Verdict{Kind: engine.Dead, Reason: reasonPermanent, Breaker: resilience.Ignored}
	case errors.Is(err, ErrCircuitOpen):
		return engine.Verdict{Kind: engine.Wait, Reason: reasonHandler, Breaker: resilience.Ignored}
	case errors.As(err, &after):
		return engine.Verdict{Kind: engine.Retry, After: after.after, Reason: reasonHandler, Breaker: resilience.Failure}
	case errors.As(err, &panicked):
		return engine.Verdict{Kind: engine.Retry, Reason: reasonPanic, Stack: panicked.Stack, Breaker: resilience.Failure}
	case errors.Is(err, context.DeadlineExceeded):
		return engine.Verdict{Kind: engine.Retry, Reason: reasonTimeout, Breaker: resilience.Failure}
	case errors.Is(err, context.Canceled):
		return engine.Verdict{Kind: engine.Retry, Reason: reasonHandler, Breaker: resilience.Ignored}
	}
	return engine.Verdict{Kind: engine.Retry, Reason: reasonHandler, Breaker: resilience.Failure}
}
