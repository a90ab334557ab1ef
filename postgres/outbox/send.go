package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport"
)

// sender sends batches of envelopes, with or without a fencing transactional id. It
// belongs to one goroutine. tx is nil before open and after a failed transaction.
type sender struct {
	bus     *eventbus.Bus
	id      string                      // empty: unfenced
	timeout time.Duration               // of one transaction; unfenced, of giving a batch to the producer
	confirm func(context.Context) error // fails unless this process leads
	tx      *eventbus.Transactor
}

// refused reports whether an error is the cluster's verdict on an event, which sending it again
// would not change soon, rather than a missing answer. An unknown outcome is never a refusal:
// the event may have been written.
func refused(err error) bool {
	return !errors.Is(err, transport.ErrOutcomeUnknown) && (ofTopic(err) || errors.Is(err, transport.ErrTooLarge) ||
		errors.Is(err, transport.ErrRejected) || errors.Is(err, eventbus.ErrSerialization))
}

// ofTopic reports whether a refusal concerns a topic, and so all of its events. A refusal of the
// client's credentials, or of its transactional id, does not.
func ofTopic(err error) bool {
	if !errors.Is(err, transport.ErrUnauthorized) {
		return errors.Is(err, transport.ErrTopicMissing)
	}
	var code interface{ Name() string } // the Kafka protocol's error code, if the transport has it
	return !errors.As(err, &code) || code.Name() == "TOPIC_AUTHORIZATION_FAILED"
}

// open fences every other sender of the id, and then confirms that this process leads. A process
// that was replaced would fence its successor, and send old events behind the successor's. A
// later successor fences this process. The error never concerns an event.
func (s *sender) open(ctx context.Context) error {
	if s.id == "" || s.tx != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
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
	refusal, err := s.transact(ctx, envelopes)
	if refusal == nil || err != nil {
		return nil, err
	}
	d := division{envelopes, refusals, make(map[string]bool)}
	return refusals, s.divide(ctx, &d, d.byTopic(), refusal)
}

// sendUnfenced sends envelopes without a transaction. If any error is not a refusal, the whole
// batch is sent again, including the acknowledged events. Unless ctx ends, nothing is under way
// when it returns: what the producer has accepted may be written until its outcome is known.
func (s *sender) sendUnfenced(ctx context.Context, envelopes []*eventbus.Envelope, refusals map[int]error) (failed error) {
	accepting, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	receipts := make([]eventbus.Receipt, 0, len(envelopes))
	for _, e := range envelopes {
		receipt := s.bus.PublishEnvelopeAsync(accepting, e)
		receipts = append(receipts, receipt)
		// An event that the producer has not accepted is sent again. A later one of its key
		// must not be written before it.
		if err := failure(receipt); err != nil && !refused(err) {
			break
		}
	}
	for i, receipt := range receipts {
		_, err := receipt.Wait(ctx)
		switch {
		case err == nil:
		case refused(err):
			refusals[i] = err
		case failed == nil:
			failed = err
		}
	}
	return failed
}

// failure returns the error of a receipt, or nil while it has none. It does not wait.
func failure(r eventbus.Receipt) error {
	select {
	case <-r.Done():
		_, err := r.Wait(context.Background())
		return err
	default:
		return nil
	}
}

// transact sends envelopes in one transaction, within its timeout. A refusal concerns at least
// one of them, and then none was sent. Any other error says nothing about them.
func (s *sender) transact(ctx context.Context, envelopes []*eventbus.Envelope) (refusal, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err := s.open(ctx); err != nil {
		return nil, fmt.Errorf("fencing other relays: %w", err)
	}
	err = s.tx.Publish(ctx, envelopes)
	if err == nil {
		return nil, nil
	}
	s.tx = nil // a failed transactor can't be used again
	if refused(err) {
		return err, nil
	}
	return nil, err
}

// division is a batch that was refused as a whole, while it is divided into events that are sent
// and events that are refused.
type division struct {
	envelopes []*eventbus.Envelope
	refusals  map[int]error   // by index
	held      map[string]bool // keys with a refused event
}

// byTopic returns the indexes of all envelopes, grouped by topic. Events have an order only
// within their topic.
func (d *division) byTopic() []int {
	all := make([]int, len(d.envelopes))
	for i := range all {
		all[i] = i
	}
	slices.SortStableFunc(all, func(a, b int) int { return strings.Compare(d.topic(a), d.topic(b)) })
	return all
}

// topic returns the topic of an envelope.
func (d *division) topic(i int) string { return d.envelopes[i].Topic }

// key identifies the key of an envelope among all topics, and reports whether it has one.
func (d *division) key(i int) (string, bool) {
	e := d.envelopes[i]
	return keyID(e.Topic, e.Key), e.Key != nil
}

// refuse records that an event is not sent. An event behind a refused one of its key gets no
// cause of its own.
func (d *division) refuse(i int, cause error) {
	key, keyed := d.key(i)
	if keyed && d.held[key] {
		cause = nil
	}
	if d.refusals[i] = cause; keyed {
		d.held[key] = true
	}
}

// free returns part without the events behind a refused one of their key, and refuses those.
func (d *division) free(part []int) []int {
	return slices.DeleteFunc(part, func(i int) bool {
		key, keyed := d.key(i)
		waits := keyed && d.held[key]
		if waits {
			d.refusals[i] = nil
		}
		return waits
	})
}

// half returns the index at which to divide a part: between two topics, as close to the middle
// as possible, or in the middle if there is only one topic.
func (d *division) half(part []int) int {
	middle := len(part) / 2
	for n := range middle {
		for _, at := range [...]int{middle - n, middle + n} {
			if d.topic(part[at-1]) != d.topic(part[at]) {
				return at
			}
		}
	}
	return middle
}

// divide sends as much as possible of a part of a batch that was refused. It halves the part
// until it knows which event, or which topic, is to blame: a refusal of a topic need not be
// repeated for each of its events.
func (s *sender) divide(ctx context.Context, d *division, part []int, refusal error) error {
	if len(part) == 1 || ofTopic(refusal) && d.topic(part[0]) == d.topic(part[len(part)-1]) {
		for _, i := range part {
			d.refuse(i, refusal)
		}
		return nil
	}
	// Each half has its own transaction, one after the other, so the order holds.
	half := d.half(part)
	for _, part := range [...][]int{part[:half], part[half:]} {
		if part = d.free(part); len(part) == 0 {
			continue
		}
		envelopes := make([]*eventbus.Envelope, len(part))
		for n, i := range part {
			envelopes[n] = d.envelopes[i]
		}
		refusal, err := s.transact(ctx, envelopes)
		if err == nil && refusal != nil {
			err = s.divide(ctx, d, part, refusal)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// backoff returns the wait after a number of failures in a row, from 100 ms to 5 s.
func backoff(failures int) time.Duration {
	// The shift is bounded, so that it can't overflow.
	return min(100*time.Millisecond<<min(failures, 10), 5*time.Second)
}

// steady is how long something must have worked before the next failure counts as the first in a
// row.
const steady = time.Minute

// failures counts failures in a row.
type failures int

// next returns the wait after another failure, of something that worked for a time before it.
func (f *failures) next(worked time.Duration) time.Duration {
	if worked > steady {
		*f = 0
	}
	*f++
	return backoff(int(*f - 1))
}

// wait waits for d, and reports whether ctx had not ended by then.
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
