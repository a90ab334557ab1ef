package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport"
)

// sender sends batches of envelopes, fenced by a transactional id or not. It
// belongs to one goroutine.
// tx is nil until open has returned, and after a transaction that failed.
type sender struct {
	bus     *eventbus.Bus
	id      string                      // empty: unfenced
	confirm func(context.Context) error // fails unless this process leads
	tx      *eventbus.Transactor
}

// refused reports whether an error is the cluster's judgement of an event, which
// sending it again would not change soon, and not the lack of an answer.
// An unknown outcome is never a refusal: the event may have been written.
func refused(err error) bool {
	return !errors.Is(err, transport.ErrOutcomeUnknown) && (errors.Is(err, transport.ErrTooLarge) || errors.Is(err, transport.ErrTopicMissing) ||
		errors.Is(err, transport.ErrUnauthorized) || errors.Is(err, transport.ErrRejected) || errors.Is(err, eventbus.ErrSerialization))
}

// open fences every other sender of the id, and then confirms that this process leads: one
// that was replaced would fence its successor, and send old events behind those of that. A
// successor that comes later fences this one. Its error is never that of an event.
func (s *sender) open(ctx context.Context) error {
	if s.id == "" || s.tx != nil {
		return nil
	}
	tx, err := s.bus.NewTransactor(ctx, s.id)
	if err == nil {
		err = s.confirm(ctx)
	}
	if err != nil {
		return err
	}
	s.tx = tx
	return nil
}

// send sends envelopes and returns the error of each that was refused, by index.
// Another error means that it is not known what was sent.
func (s *sender) send(ctx context.Context, envelopes []*eventbus.Envelope) (refusals map[int]error, err error) {
	if len(envelopes) == 0 {
		return nil, nil
	}
	refusals = make(map[int]error)
	if s.id == "" {
		return refusals, s.sendUnfenced(ctx, envelopes, refusals)
	}
	return refusals, s.sendFenced(ctx, envelopes, 0, refusals)
}

// sendUnfenced sends envelopes without a transaction. With one error that is not a
// refusal the whole batch is sent again, with what was acknowledged of it.
func (s *sender) sendUnfenced(ctx context.Context, envelopes []*eventbus.Envelope, refusals map[int]error) error {
	err := s.bus.PublishEnvelopes(ctx, envelopes)
	var failed *eventbus.PublishBatchError
	if !errors.As(err, &failed) {
		return err
	}
	for i, cause := range failed.Errors {
		if !refused(cause) {
			return err
		}
		refusals[i] = cause
	}
	return nil
}

// sendFenced sends envelopes in one transaction. If that is refused it halves them
// until it knows which event is to blame; an event of a key that was refused
// follows it, so that the key keeps its order.
// base is the index in refusals of the first envelope.
func (s *sender) sendFenced(ctx context.Context, envelopes []*eventbus.Envelope, base int, refusals map[int]error) error {
	if err := s.open(ctx); err != nil {
		return fmt.Errorf("fencing other relays: %w", err)
	}
	err := s.tx.Publish(ctx, envelopes)
	if err == nil {
		return nil
	}
	s.tx = nil // spent
	if !refused(err) {
		return err
	}
	if len(envelopes) == 1 {
		refusals[base] = err
		return nil
	}
	// The halves are transactions of their own, one after the other, so the order holds.
	half := len(envelopes) / 2
	if err := s.sendFenced(ctx, envelopes[:half], base, refusals); err != nil {
		return err
	}
	// What follows a refused event of its key is not sent. It has no error of its own.
	rest, at := make([]*eventbus.Envelope, 0, len(envelopes)-half), make([]int, 0, len(envelopes)-half)
	for i := half; i < len(envelopes); i++ {
		if followsRefused(envelopes, refusals, base, i) {
			refusals[base+i] = nil
			continue
		}
		rest, at = append(rest, envelopes[i]), append(at, base+i)
	}
	if len(rest) == 0 {
		return nil
	}
	// rest has gaps, so its refusals have indexes of their own first.
	inner := make(map[int]error)
	err = s.sendFenced(ctx, rest, 0, inner)
	for i, cause := range inner {
		refusals[at[i]] = cause
	}
	return err
}

// followsRefused reports whether an earlier event of envelopes[i]'s key was refused.
func followsRefused(envelopes []*eventbus.Envelope, refusals map[int]error, base, i int) bool {
	e := envelopes[i]
	if e.Key == nil {
		return false
	}
	for j := range refusals {
		// An index of refusals becomes one of envelopes, and is negative before their first.
		if j -= base; j >= 0 && j < i && envelopes[j].Topic == e.Topic && string(envelopes[j].Key) == string(e.Key) && envelopes[j].Key != nil {
			return true
		}
	}
	return false
}

// backoff returns the wait after a number of failures in a row, from 100 ms to 5 s.
func backoff(failures int) time.Duration {
	// The shift is bounded, so that it can't overflow.
	return min(100*time.Millisecond<<min(failures, 10), 5*time.Second)
}

// steady is how long something must have worked for what fails next to be the first
// failure of a row.
const steady = time.Minute

// wait waits, and reports whether ctx lasted.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
