package outbox

import (
	"context"
	"errors"
	"time"
)

// chores are what a leader does between batches, each at its interval. The fields hold
// when each last began. They are zero in a new term, so every chore is due at its
// beginning.
type chores struct {
	relay                          *Relay
	due, retried, cleaned, watched time.Time
}

// newChores returns the chores of one term.
func newChores(r *Relay) *chores { return &chores{relay: r} }

// Intervals of the chores that are not configured.
const (
	dueEvery   = 50 * time.Millisecond
	retryEvery = time.Second
	watchEvery = 5 * time.Second
	cleanRows  = 5000 // the rows that one DELETE looks at, so that it holds no lock for long
)

// passed reports whether every has gone by since last, and then sets last to now:
// the interval counts from the beginning of a chore, not from its end.
func passed(last *time.Time, every time.Duration) bool {
	now := time.Now()
	if now.Sub(*last) < every {
		return false
	}
	*last = now
	return true
}

// run does what is due. An error ends the term: chores need the same database as
// everything else that a leader does.
func (c *chores) run(ctx context.Context, l *lease) error {
	r := c.relay
	// Scheduled events first, so that the next look at the outbox finds them.
	if passed(&c.due, dueEvery) {
		if err := r.chore(ctx, l, func(ctx context.Context) error {
			_, err := moveDue(ctx, r.pool, r.names, r.config.Batch)
			return err
		}); err != nil {
			return err
		}
	}
	// The keys are read again first: an operator may have skipped the event that
	// others wait behind. Both keep the lease themselves: retryParked also sends,
	// which can take as long as a batch.
	if passed(&c.retried, retryEvery) {
		if err := r.loadParked(ctx, l); err != nil {
			return err
		}
		if err := r.retryParked(ctx, l); err != nil {
			return err
		}
	}
	if passed(&c.watched, watchEvery) {
		if err := r.chore(ctx, l, r.watch); err != nil {
			return err
		}
	}
	// This begins a round. Every pass does a chunk of it until clean ends the round.
	if passed(&c.cleaned, r.config.CleanInterval) {
		r.cleaned = 0
		if r.partitioned {
			if err := r.chore(ctx, l, func(ctx context.Context) error { r.keepDays(ctx); return nil }); err != nil {
				return err
			}
		}
	}
	if r.cleaned < 0 {
		return nil
	}
	return r.chore(ctx, l, r.clean)
}

// keepDays makes and drops daily partitions. An error does not stop the relay: health
// reports it.
func (r *Relay) keepDays(ctx context.Context) {
	days, err := rotate(ctx, r.pool, r.names, r.config.Keep)
	if days > 0 {
		r.config.Logger.Info("dropped settled days", "days", days)
	}
	// Even if this round dropped no days, another process may have dropped some and
	// died.
	events, uncounted := forgetDropped(ctx, r.pool, r.names)
	r.metrics.deleted(ctx, events)
	if err = errors.Join(err, uncounted); err != nil {
		r.config.Logger.Warn("daily partitions", "error", err)
	}
	r.note(func(s *relayState) { s.rotating = err })
}

// clean deletes a chunk of the rows that every relay has sent and that are older than
// Keep. A round walks the table once, a chunk between two batches, and ends where
// nothing is left to delete.
func (r *Relay) clean(ctx context.Context) error {
	// A copy, so that only this statement looks at the overflow partition alone.
	n := r.names
	if r.partitioned {
		n.outbox = n.overflow // days are dropped
	}
	b := pipeline("off")
	// A row may be deleted once every relay's from_snapshot shows its transaction.
	// Rows of a window that is being walked are not in it yet, so they stay.
	// MATERIALIZED keeps the planner from merging the steps: the limit counts rows
	// looked at, not rows deleted.
	b.Queue(n.sql(`
		WITH old AS MATERIALIZED (SELECT id, xid, created_at FROM {outbox} WHERE id > $1 ORDER BY id LIMIT $2),
		settled AS MATERIALIZED (SELECT id FROM old WHERE created_at < clock_timestamp() - $3::float8 * interval '1 second'
			AND NOT EXISTS (SELECT FROM {relay} r WHERE NOT pg_visible_in_snapshot(old.xid, r.from_snapshot))),
		gone AS (DELETE FROM {outbox} WHERE id = ANY(ARRAY(SELECT id FROM settled)) RETURNING 1)
		SELECT (SELECT count(*) FROM old), (SELECT coalesce(max(id), 0) FROM old), (SELECT count(*) FROM gone)`),
		r.cleaned, cleanRows, r.config.Keep.Seconds())
	results, err := send(ctx, r.pool, b)
	if err != nil {
		return err
	}
	defer results.Close()
	var looked, last, gone int64
	if err := results.QueryRow().Scan(&looked, &last, &gone); err != nil {
		return err
	}
	r.metrics.deleted(ctx, gone)
	// After a chunk without deletable rows there are only younger ones, and a short
	// chunk is the end of the table.
	if r.cleaned = last; gone == 0 || looked < cleanRows {
		r.cleaned = -1 // until the next round
	}
	return results.Close()
}
