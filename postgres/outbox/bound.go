package outbox

import (
	"context"
	"fmt"
	"time"
)

const (
	// minAnswer is the least time that the database gets for an answer, however
	// short the lease is.
	minAnswer = 5 * time.Second
	// maxRead bounds the statements that walk a large window: after a long outage
	// the first one looks at every row of it.
	maxRead = 10 * time.Minute
)

// within runs statements that a working database answers far within the lease.
// TCP keeps a connection to a frozen process for as long as its kernel lives, so
// nothing else would ever end them: the relay would lead and do nothing.
func (r *Relay) within(ctx context.Context, do func(context.Context) error) error {
	// An answer that comes after the lease serves nothing: another process may lead by
	// then. A short lease must not make an error of a slow disk.
	limit := max(r.config.Lease, minAnswer)
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := do(bounded)
	// Where ctx itself has ended, that is the cause, and the database is not to blame.
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("the database has not answered for %v: %w", limit, err)
	}
	return err
}

// await waits for what is sent on a channel, and keeps the lease meanwhile. Of a large
// backlog the first window can take longer than the lease, and so can a batch in Kafka:
// without renewal two relays would take the lead from each other before either has sent
// anything.
func await[T any](ctx context.Context, r *Relay, l *lease, from <-chan T) (value T, err error) {
	// A third leaves time for a slow answer before the lease ends.
	renewal := time.NewTicker(r.config.Lease / 3)
	defer renewal.Stop()
	for {
		select {
		case value = <-from:
			return value, nil
		case <-renewal.C:
			if err := r.renew(ctx, l); err != nil {
				return value, err
			}
		}
	}
}

// sending is keeping for no longer than the delivery timeout.
func (r *Relay) sending(ctx context.Context, l *lease, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.config.DeliveryTimeout)
	defer cancel()
	return r.keeping(ctx, l, do)
}

// keeping runs do, and keeps the lease meanwhile. do is cut off where another process
// leads by now. It has ended when keeping returns.
func (r *Relay) keeping(ctx context.Context, l *lease, do func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	err, lost := await(ctx, r, l, done)
	if lost != nil {
		cancel()
		<-done
		return lost
	}
	return err
}
