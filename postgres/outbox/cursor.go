package outbox

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// cursor is how far a relay is: everything that is visible in from has been sent,
// and of what is visible in to, where that is set, everything up to last.
// The snapshots are in PostgreSQL's text form, xmin:xmax:xip_list. The zero cursor is
// no position: every one that is used comes from acquire, next or rebase.
type cursor struct {
	from, to string // to is empty between two windows
	last     int64
	system   int64  // the cluster that the snapshots are of
	run      string // the run of it that they were read in, see sameRun
}

// settings of the relay's sessions, for the transaction of one pipeline: they hold
// behind PgBouncer too. Without statistics the planner prefers to read the whole
// table. Of a large table it takes a plan of its own for each look, which differs in
// nothing, to be cheaper than a generic one, and planning it takes a third of the look.
// A disabled plan that is taken all the same counts as dear, for which the server would
// compile it: that takes longer than the statement. What a role's timeout would end at each
// attempt, as the first look at a large backlog, the relay bounds itself. A cursor that is
// lost in a crash of the server repeats a batch, so its write need not wait for the disk.
const sessionSettings = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
	set_config('plan_cache_mode', 'force_generic_plan', true), set_config('jit', 'off', true), set_config('statement_timeout', '0', true),
	set_config('synchronous_commit', $1, true)`

// advance stores the cursor behind rows, of which sent were sent and the others parked, and
// extends the lease. It fails with errNotLeading if another epoch has begun, or if this is
// another run of the server, whose transactions are not those of the cursor.
func (r *Relay) advance(ctx context.Context, l *lease, c cursor, rows []row, sent int, parked []parkedRow) error {
	return r.within(ctx, func(ctx context.Context) error { return r.store(ctx, l, c, rows, sent, parked) })
}

// store is advance without the bound. Its statements are one pipeline, and so one
// transaction: the cursor and the parked rows are stored together or not at all.
func (r *Relay) store(ctx context.Context, l *lease, c cursor, rows []row, sent int, parked []parkedRow) error {
	// Before the statement: the database counts the lease from a later moment, so this
	// process takes its term to end sooner than the others do.
	before := time.Now()
	var b pgx.Batch
	// Parked rows wait for the disk, because operators act on what they see of them.
	commit := "off"
	if len(parked) > 0 {
		commit = "on"
	}
	b.Queue(sessionSettings, commit)
	// An empty text is not a snapshot. Between two windows the column is NULL.
	var to any
	if c.to != "" {
		to = c.to
	}
	// The cursor first: its row is locked then, and no other epoch begins before the parked
	// rows are written.
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
	// A refused row is retried after RetryInterval. A row that only follows it was not tried,
	// and has no time of its own. When a batch is repeated after a crash its rows may already be
	// parked. Use one statement for all: if a topic is gone, all of its rows in the batch are
	// parked.
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
			WHERE true`+own+` ON CONFLICT DO NOTHING`),
			r.config.Name, l.run, l.epoch, ids, faults, r.config.RetryInterval.Seconds())
	}
	results := r.pool.SendBatch(ctx, &b)
	defer results.Close()
	if _, err := results.Exec(); err != nil {
		return err
	}
	tag, err := results.Exec()
	if err != nil {
		return err
	}
	// Each result is read, in order: the error of a statement appears only there.
	if len(parked) > 0 {
		if _, err := results.Exec(); err != nil {
			return err
		}
	}
	if err := results.Close(); err != nil {
		return err
	}
	// Another process leads, or this is another run of the server. The parked rows ask for
	// the same as the cursor, so none of them was written.
	if tag.RowsAffected() == 0 {
		return errNotLeading
	}
	// Only after success: a write that failed must not make the term longer.
	l.until, l.stored = before.Add(r.config.Lease), before
	return nil
}
