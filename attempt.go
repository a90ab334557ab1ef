package eventbus

import (
	"context"
	"errors"

	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/resilience"
)

// room is the memory that the attempts of one worker use in turn, one at a time.
// A handler's context may outlive its attempt and is made anew each time; what it
// says of the delivery ends with the attempt.
type room struct {
	delivery  Delivery
	envelopes []Envelope
	events    []*Envelope
}

// roomFor returns the worker's room, with n envelopes.
func roomFor(a *engine.Attempt, n int) *room {
	m, ok := a.Scratch.(*room)
	if !ok {
		m = new(room)
		a.Scratch = m
	}
	if cap(m.envelopes) < n {
		m.envelopes, m.events = make([]Envelope, n), make([]*Envelope, n)
	}
	m.envelopes, m.events = m.envelopes[:n], m.events[:n]
	for i := range m.events {
		m.events[i] = &m.envelopes[i]
	}
	return m
}

// attempt reads the records of an attempt and runs the handler on them.
func (b *Bus) attempt(ctx context.Context, g *group, h Handler, a *engine.Attempt) error {
	m := roomFor(a, len(a.Records))
	// A worker that waits for its next attempt is not to keep fetched memory.
	defer func() { clear(m.envelopes) }()
	m.delivery = Delivery{Topic: a.Records[0].Topic, Group: g.name, Attempt: a.Number, Replay: g.replay, Events: m.events}
	handling := g.signals.Topics[m.delivery.Topic]
	var failed map[int]error
	for i, r := range a.Records {
		e := m.events[i]
		if err := wire.Decode(r, (*wire.Event)(e)); err != nil {
			handling.Unreadable(r, err)
			if len(a.Records) == 1 {
				return &undecodableError{err}
			}
			if failed == nil {
				failed = make(map[int]error)
			}
			failed[i] = &undecodableError{err}
		}
		e.AssignmentEpoch = a.Epoch
		letter.Redelivered((*wire.Event)(e))
	}
	if failed != nil {
		return attemptRest(ctx, handling, &m.delivery, h, failed)
	}
	s := newScope(ctx, &m.delivery)
	defer s.end()
	return observed(handling, s, h)
}

// attemptRest runs a batch without the records that are no events.
func attemptRest(ctx context.Context, h *telemetry.ProcessSignals, d *Delivery, handler Handler, failed map[int]error) error {
	rest := *d
	rest.Events = nil
	var at []int
	for i, e := range d.Events {
		if failed[i] == nil {
			rest.Events, at = append(rest.Events, e), append(at, i)
		}
	}
	if len(rest.Events) > 0 {
		s := newScope(ctx, &rest)
		defer s.end()
		if err := spread(observed(h, s, handler), at, failed); err != nil {
			return err
		}
	}
	return &BatchError{Errors: failed}
}

// told runs a handler once, and reports how it went.
func observed(h *telemetry.ProcessSignals, s *scope, handler Handler) error {
	t, values := h.Start(s, s.Context)
	if values != nil {
		s.values = values
	}
	err := attempt(s, handler)
	t.End(err, handlingErrorType(err), panicStack(err))
	return err
}

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
