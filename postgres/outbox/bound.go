package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// minAnswer is the least time that the database gets for an answer, however
	// short the lease is.
	minAnswer = 5 * time.Second
	// maxAnswer bounds statements during which the lease is kept. One on a connection to a
	// process that is frozen holds up the relay for as long.
	maxAnswer = 30 * time.Second
	// maxRead bounds the statements that walk a large window: after a long outage
	// the first one looks at every row of it.
	maxRead = 10 * time.Minute
)

// within runs statements during which the lease is not kept.
func (r *Relay) within(ctx context.Context, do func(context.Context) error) error {
	// An answer that comes after the lease serves nothing: another process may lead by
	// then. A short lease must not make an error of a slow disk.
	return bounded(ctx, max(r.config.Lease, minAnswer), do)
}

// bounded runs statements that a working database answers far within a limit. TCP keeps a
// connection to a frozen process for as long as its kernel lives, so nothing else would
// ever end them: the relay would lead and do nothing.
func bounded(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := do(bounded)
	// Where ctx itself has ended, that is the cause, and the database is not to blame.
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("the database has not answered for %v: %w", limit.Round(time.Millisecond), err)
	}
	return err
}

// await receives from a channel, and keeps the lease meanwhile. With a large backlog the first
// window can take longer than the lease, and so can a batch in Kafka: without renewal two relays
// would take the lead from each other before either has sent anything. The error is that of a
// lost lease. Earlier failures to renew are retried. Once ctx has ended await only receives: the
// sender ends too, and its value says why.
func await[T any](ctx context.Context, r *Relay, l *lease, from <-chan T) (value T, err error) {
	// Use what is left of the lease: several short waits may follow one another.
	renewal := time.NewTimer(l.due(r.config.Lease))
	defer renewal.Stop()
	for {
		select {
		case value = <-from:
			return value, nil
		case <-renewal.C:
		}
		if ctx.Err() != nil {
			return <-from, nil
		}
		err := r.renew(ctx, l)
		switch {
		case err == nil:
			renewal.Reset(l.due(r.config.Lease))
		case ctx.Err() != nil:
			return <-from, nil
		case errors.Is(err, errNotLeading) || time.Until(l.until) <= 0:
			return value, err
		default:
			renewal.Reset(backoff(0))
		}
	}
}

// sending runs do, which sends a batch. With transactions the sender bounds each of them, since
// a refused batch takes many to send what can be sent. Without transactions DeliveryTimeout
// bounds do, the lease covers it and is not renewed: a batch that was cut off may still be on
// its way when another process leads.
func (r *Relay) sending(ctx context.Context, l *lease, do func(context.Context) error) error {
	if !r.config.Unfenced {
		return r.keeping(ctx, l, do)
	}
	ctx, cancel := context.WithTimeout(ctx, r.config.DeliveryTimeout)
	defer cancel()
	return do(ctx)
}

// keeping runs do, and keeps the lease meanwhile. do is cut off where the lease is lost.
// It has ended when keeping returns.
func (r *Relay) keeping(ctx context.Context, l *lease, do func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	err, lost := await(ctx, r, l, done)
	if lost == nil {
		return err
	}
	cancel()
	// The error of do comes first, so that health names Kafka if Kafka is down. If another
	// process leads, nothing more is to be done.
	if err := <-done; !errors.Is(lost, errNotLeading) && !errors.Is(err, context.Canceled) {
		return err
	}
	return lost
}

// chore runs statements, and keeps the lease meanwhile. On a busy server a statement may take
// longer than the lease; without renewal no relay would get to send anything.
func (r *Relay) chore(ctx context.Context, l *lease, do func(context.Context) error) error {
	return r.keeping(ctx, l, func(ctx context.Context) error { return bounded(ctx, maxAnswer, do) })
}
