package outbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

// errAnotherRun means that the cursor in memory belongs to another run of the server.
var errAnotherRun = errors.New("the server was restarted after a crash, or is another one: the cursor is read again")

// errNotLeading means that another process leads, or has taken over.
var errNotLeading = errors.New("another process leads")

// ErrCursorLost means that a relay name has no cursor, and Config.From does not say
// where to begin.
var ErrCursorLost = errors.New("the relay has no cursor")

// lease is the right to send, until a time of this process's monotonic clock that is
// not after its end by the database's clock.
type lease struct {
	// epoch numbers the terms. All writes of a leader check it, so a leader that was
	// replaced without noticing changes nothing in the tables.
	epoch int64
	until time.Time
	// stored is when the cursor was written last in the term.
	stored time.Time
	run    string // the server run that the cursor was read in
}

// sameRun is the condition, with the relay's name as $1 and its run as $2, that the
// server has neither crashed nor been replaced since acquire. After a crash, or on
// another server, transactions may be missing and their ids may be given again. Crash
// recovery empties the table, and a standby never had its rows. The start time detects
// a row that was copied, for example by a dump.
const sameRun = `EXISTS (SELECT FROM {run} WHERE name = $1 AND id = $2::text::uuid AND started = pg_postmaster_start_time())`

// due returns the time until the lease must be renewed, when a third of it has passed:
// the rest leaves time for slow answers and for several attempts.
func (l *lease) due(lease time.Duration) time.Duration { return time.Until(l.until) - lease*2/3 }

// covers reports whether more than d and margin is left of the lease.
func (l *lease) covers(d time.Duration) bool { return time.Until(l.until) > d+margin }

// mustCover returns how much of the lease must be left when a batch begins. Without
// transactions a batch has to end within the lease, since nothing else keeps two
// leaders apart. With them Kafka does: the lease is renewed during a batch, and if it
// is lost anyway, a batch is sent twice but order holds.
func (c *Config) mustCover() time.Duration {
	if c.Unfenced {
		return c.DeliveryTimeout
	}
	return 0
}

// newHolder returns a text that tells an operator which process leads. The epoch, not
// this text, distinguishes terms.
func newHolder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%.80s/%d", host, os.Getpid())
}

// acquire takes the lease if nobody has it, with a new epoch, and reads the cursor.
// One UPDATE decides between several processes: the first locks the row, and the
// others then find a lease that has not expired. Only the database's clock counts, so
// the processes' clocks need not agree.
func (r *Relay) acquire(ctx context.Context) (l lease, c cursor, err error) {
	// As in store, this process's term ends before the database's.
	before := time.Now()
	var to *string
	err = r.pool.QueryRow(ctx, r.names.sql(`
		WITH term AS (UPDATE {relay} SET holder = $2, epoch = epoch + 1, expires_at = clock_timestamp() + $3::float8 * interval '1 second'
			WHERE name = $1 AND expires_at < clock_timestamp()
			RETURNING epoch, from_snapshot::text, to_snapshot::text, last_id, system_identifier),
		run AS (INSERT INTO {run} (name, id, started) SELECT $1, gen_random_uuid(), pg_postmaster_start_time() FROM term
			ON CONFLICT (name) DO UPDATE SET id = excluded.id, started = excluded.started RETURNING id::text)
		SELECT term.*, run.id FROM term, run`),
		r.config.Name, r.holder, r.config.Lease.Seconds()).Scan(&l.epoch, &c.from, &to, &c.last, &c.system, &l.run)
	if errors.Is(err, pgx.ErrNoRows) {
		// Either the lease is held, or the name has no row.
		var there bool
		if err := r.pool.QueryRow(ctx, r.names.sql(`SELECT EXISTS (SELECT FROM {relay} WHERE name = $1)`), r.config.Name).Scan(&there); err != nil {
			return l, c, err
		}
		if there {
			return l, c, errNotLeading
		}
		return l, c, r.begin(ctx)
	}
	if to != nil {
		c.to = *to
	}
	c.run, l.until = l.run, before.Add(r.config.Lease)
	return l, c, err
}

// begin makes the cursor of a new name, or fails if the cursor may have been lost.
func (r *Relay) begin(ctx context.Context) error {
	// What this snapshot shows counts as sent.
	from := `pg_current_snapshot()`
	switch r.config.From {
	case StartNow:
	case StartOldest:
		from = `'3:3:'::pg_snapshot` // below every transaction of a user
	// A row that was deleted by mistake looks like a new name, so the caller has to
	// say which it is.
	default:
		return fmt.Errorf("%w: no row for %q in %s_relay; for a new name, set Config.From, or run eventbus outbox relay --from oldest|now", ErrCursorLost, r.config.Name, r.names.bare)
	}
	// Another process may insert the row at the same time: the first one stays.
	_, err := r.pool.Exec(ctx, r.names.sql(`INSERT INTO {relay} (name, system_identifier, from_snapshot)
		SELECT $1, system_identifier, `+from+` FROM pg_control_system() ON CONFLICT DO NOTHING`), r.config.Name)
	if err == nil {
		err = errNotLeading // the next round acquires the lease
	}
	return err
}

// renew extends the lease. After an error l is unchanged.
func (r *Relay) renew(ctx context.Context, l *lease) error {
	before := time.Now()
	err := r.extend(ctx, *l)
	if err == nil {
		l.until = before.Add(r.config.Lease)
	}
	return err
}

// extend extends the lease in the database only. It fails with errNotLeading if
// another epoch or another run of the server has begun.
func (r *Relay) extend(ctx context.Context, l lease) error {
	// Once the lease has ended, there is no point in waiting for an answer.
	return bounded(ctx, max(time.Until(l.until), minAnswer), func(ctx context.Context) error {
		tag, err := r.pool.Exec(ctx, r.names.sql(`UPDATE {relay} SET expires_at = clock_timestamp() + $4::float8 * interval '1 second' WHERE name = $1 AND epoch = $3 AND `+sameRun),
			r.config.Name, l.run, l.epoch, r.config.Lease.Seconds())
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return errNotLeading
		}
		return nil
	})
}

// release ends the lease, so that another process need not wait for it to expire. The
// epoch and the holder keep a late release from ending a successor's lease, even on a
// server that lost the epoch and gave it again.
func (r *Relay) release(ctx context.Context, l lease) error {
	_, err := r.pool.Exec(ctx, r.names.sql(`UPDATE {relay} SET expires_at = '-infinity', holder = '' WHERE name = $1 AND epoch = $2 AND holder = $3`), r.config.Name, l.epoch, r.holder)
	return err
}
