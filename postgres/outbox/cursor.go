package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// cursor is a relay's position: everything that is visible in from has been sent, and,
// if to is set, everything up to last that is visible in to. The snapshots are in
// PostgreSQL's text form, xmin:xmax:xip_list. The zero cursor is not a position:
// cursors come from acquire, next or rebase.
type cursor struct {
	from, to string // to is empty between two windows
	last     int64
	system   int64  // the identifier of the cluster that the snapshots belong to
	run      string // the server run that they were read in, see sameRun
}

// readCommitted gives each statement of a transaction a snapshot of its own. In one of
// a stricter level, a statement that waits for a change of the table that rewrites it
// (ALTER TABLE) then finds it empty, and the relay would pass over the rows. It is not
// LOCAL, which outside of BEGIN makes the server log a warning: the setting never
// outlasts the transaction.
const readCommitted = `SET transaction_isolation = 'read committed'`

// noTimeouts replaces the role's timeouts by the relay's own bounds. They might end the
// first look at a large backlog at every attempt. PostgreSQL 17 has the second.
const noTimeouts = `set_config('statement_timeout', '0', true),
	CASE WHEN current_setting('server_version_num')::int >= 170000 THEN set_config('transaction_timeout', '0', true) END`

// sessionSettings sets the relay's settings for the transaction of one pipeline, so
// that they work behind PgBouncer too. Without statistics the planner prefers to read
// the whole table. For a large table it considers a custom plan cheaper than a generic
// one, although the two are equal, and planning takes a third of the query's time. If
// all plans are disabled, the chosen one has a high cost, and the server would compile
// it, which takes longer than the statement. Where a policy would hide rows, a statement
// fails: the relay would pass over them. Losing a cursor in a server crash only repeats
// a batch, so its write need not wait for the disk.
const sessionSettings = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
	set_config('plan_cache_mode', 'force_generic_plan', true), set_config('jit', 'off', true), set_config('row_security', 'off', true),
	set_config('synchronous_commit', $1, true), ` + noTimeouts

// pipeline returns a pipeline, which is one transaction, with the relay's settings.
func pipeline(commit string) *pgx.Batch {
	b := new(pgx.Batch)
	b.Queue(readCommitted)
	b.Queue(sessionSettings, commit)
	return b
}

// send sends a pipeline and reads the results of its settings. The caller reads the
// others, in order, and closes them.
func send(ctx context.Context, pool *pgxpool.Pool, b *pgx.Batch) (pgx.BatchResults, error) {
	results := pool.SendBatch(ctx, b)
	for range 2 {
		if _, err := results.Exec(); err != nil {
			_ = results.Close()
			return nil, err
		}
	}
	return results, nil
}

// advance stores the cursor after rows, of which sent were sent and the others parked,
// and extends the lease. It fails with errNotLeading if another epoch has begun, or if
// this is another run of the server, to which the cursor's transactions do not belong.
func (r *Relay) advance(ctx context.Context, l *lease, c cursor, rows []row, sent int, parked []parkedRow) error {
	return r.within(ctx, func(ctx context.Context) error { return r.store(ctx, l, c, rows, sent, parked) })
}

// store is advance without the bound. Its statements are one pipeline, and so one
// transaction: the cursor and the parked rows are stored together or not at all.
func (r *Relay) store(ctx context.Context, l *lease, c cursor, rows []row, sent int, parked []parkedRow) error {
	// Taken before the statement: the database counts the lease from a later moment,
	// so this process considers its term over before the others do.
	before := time.Now()
	// Parked rows wait for the disk, because operators act on them.
	commit := "off"
	if len(parked) > 0 {
		commit = "on"
	}
	b := pipeline(commit)
	// An empty text is not a snapshot. Between two windows the column is NULL.
	var to any
	if c.to != "" {
		to = c.to
	}
	// The cursor comes first: this locks its row, so no other epoch begins before the
	// parked rows are written.
	set, args := "", []any{r.config.Name, l.run, l.epoch, c.from, to, c.last, sent, r.config.Lease.Seconds()}
	if r.partitioned && len(rows) > 0 {
		set = countDays
		tables, counts := countTables(rows)
		args = append(args, tables, counts)
	}
	b.Queue(r.names.sql(`
		UPDATE {relay} SET from_snapshot = $4::text::pg_snapshot, to_snapshot = $5::text::pg_snapshot, last_id = $6, published = published + $7,
			moved_at = clock_timestamp(), expires_at = clock_timestamp() + $8::float8 * interval '1 second'`+set+`
		WHERE name = $1 AND epoch = $3 AND `+sameRun), args...)
	// A refused row is retried after RetryInterval. A row that only follows it was not
	// tried, and has no time of its own. When a batch is repeated after a crash, its
	// rows may already be parked. Another event of the same id is an error: the ids have
	// been restarted, and without the error this one would be lost. One statement writes
	// all rows, which are many if a topic is gone.
	if len(parked) > 0 {
		ids, faults := make([]int64, len(parked)), make([]*string, len(parked))
		for i, p := range parked {
			ids[i], faults[i] = p.id, p.fault
		}
		b.Queue(r.names.sql(`
			INSERT INTO {parked} (relay, id, format, event_id, topic, key, value, partitioner, attributes, created_at, error, attempts, next_at)
			SELECT $1, o.id, format, event_id, topic, key, value, partitioner, attributes, created_at, fault, (fault IS NOT NULL)::integer,
				CASE WHEN fault IS NULL THEN 'infinity' ELSE clock_timestamp() + $6::float8 * interval '1 second' END
			FROM unnest($4::bigint[], $5::text[]) refused (id, fault) JOIN {outbox} o ON o.id = refused.id
			WHERE NOT EXISTS (SELECT FROM {parked} p WHERE p.relay = $1 AND p.id = o.id AND p.event_id = o.event_id)`+own),
			r.config.Name, l.run, l.epoch, ids, faults, r.config.RetryInterval.Seconds())
	}
	results, err := send(ctx, r.pool, b)
	if err != nil {
		return err
	}
	defer results.Close()
	tag, err := results.Exec()
	if err != nil {
		return err
	}
	// Each result is read, in order: the error of a statement appears only there.
	if len(parked) > 0 {
		if _, err := results.Exec(); state(err) == uniqueViolation {
			return fmt.Errorf("the ids of %s have been restarted, and another event is parked under the id of one that was refused: retry or skip that one, see eventbus outbox list: %w", r.names.bare, err)
		} else if err != nil {
			return err
		}
	}
	if err := results.Close(); err != nil {
		return err
	}
	// Another process leads, or this is another run of the server. The parked rows
	// have the same condition, so none of them was written.
	if tag.RowsAffected() == 0 {
		return errNotLeading
	}
	// A failed write must not extend the term.
	l.until, l.stored = before.Add(r.config.Lease), before
	return nil
}
