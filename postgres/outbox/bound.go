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
	// maxAnswer bounds statements during which the lease is kept. A statement to a
	// frozen server process holds up the relay for that long.
	maxAnswer = 30 * time.Second
	// maxRead bounds reading a window: after a long outage the first statement looks
	// at every row of it.
	maxRead = 10 * time.Minute
)

// within runs statements during which the lease is not kept.
func (r *Relay) within(ctx context.Context, do func(context.Context) error) error {
	// An answer that comes after the lease has expired is useless: another process may
	// lead by then. minAnswer keeps a slow disk from being an error if the lease is
	// short.
	return bounded(ctx, max(r.config.Lease, minAnswer), do)
}

// bounded runs statements that a working database answers well within the limit. TCP
// keeps a connection to a frozen process as long as its kernel runs, so without the
// limit the relay might lead and do nothing.
func bounded(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := do(bounded)
	// If ctx itself has ended, the database is not to blame.
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("the database has not answered for %v: %w", limit.Round(time.Millisecond), err)
	}
	return err
}

// await receives from a channel, and keeps the lease meanwhile. With a large backlog
// the first window can take longer than the lease, and so can sending a batch: without
// renewal two relays would take the lead from each other before either has sent
// anything. A failed renewal is retried until the lease is lost, and its error is
// returned then. Once ctx has ended await only receives: the sender ends too, and its
// value says why.
func await[T any](ctx context.Context, r *Relay, l *lease, from <-chan T) (value T, err error) {
	// The renewal is due by what is left of the lease, since several short waits may
	// follow one another.
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

// sending runs do, which sends a batch. The sender bounds it: with transactions each of
// them, since a refused batch takes several. Without transactions the lease covers the
// batch and is not renewed: one that was cut off may still be under way when another
// process leads.
func (r *Relay) sending(ctx context.Context, l *lease, do func(context.Context) error) error {
	if r.config.Unfenced {
		return do(ctx)
	}
	return r.keeping(ctx, l, do)
}

// keeping runs do, and keeps the lease meanwhile. If the lease is lost, do's context
// ends. do has returned when keeping returns.
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
