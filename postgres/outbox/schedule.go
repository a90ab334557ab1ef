package outbox

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Cancel withdraws, in the caller's transaction, an event that was written with
// [NotBefore] and is not due yet. It reports whether there was one. An event that is due
// may have been moved to the outbox, and is then published.
func Cancel(ctx context.Context, tx Tx, table Table, eventID string) (bool, error) {
	n, err := table.names()
	if err == nil && tx == nil {
		err = errNoTx
	}
	if err != nil {
		return false, fmt.Errorf("outbox: cancel event %s: %w", eventID, err)
	}
	if m, ok := tx.(*MemoryTx); ok {
		return m.cancel(eventID), nil
	}
	// The row's lock decides between Cancel and a move: the other finds no row, or
	// skips it.
	deleted, err := tx.exec(ctx, n.sql(`DELETE FROM {scheduled} WHERE event_id = $1`), eventID)
	if err != nil {
		return false, fmt.Errorf("outbox: cancel event %s: %w", eventID, err)
	}
	return deleted > 0, nil
}

// moveDue moves due events into the outbox, where they get ids in the order of their
// times and enter the next window like any row. It returns how many. Only one relay
// moves at a time, since two concurrent moves could invert the events of a key.
func moveDue(ctx context.Context, pool *pgxpool.Pool, n names, limit int) (moved int64, err error) {
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		// A relay that does not get the lock has nothing to do, since another one is
		// moving.
		var mine bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1), `+noTimeouts, lockOf("eventbus due", n.bare)).Scan(&mine, nil, nil); err != nil || !mine {
			return err
		}
		tag, err := tx.Exec(ctx, n.sql(move), limit, maxBatchBytes)
		moved = tag.RowsAffected()
		return err
	})
	return moved, err
}

// move moves at most $1 due events, of about $2 bytes. It uses the statement's time,
// since with a volatile function such as clock_timestamp the index is not used, and
// every look would read all scheduled events. A row that a transaction is about to
// cancel is skipped until that transaction ends. RETURNING has no order, so the INSERT
// sorts: ids are given in the order of its rows. The bytes are bounded as in any
// batch, since many large events may be due at once.
const move = `
	WITH first AS MATERIALIZED (
		SELECT id, due_at, coalesce(octet_length(key), 0) + coalesce(octet_length(value), 0) + octet_length(attributes) AS size
		FROM {scheduled} WHERE due_at <= statement_timestamp() ORDER BY due_at, id LIMIT $1 FOR UPDATE SKIP LOCKED),
	sized AS (SELECT id, sum(size) OVER (ORDER BY due_at, id) - size AS before FROM first),
	due AS (DELETE FROM {scheduled} WHERE id IN (SELECT id FROM sized WHERE before < $2) RETURNING *)
	INSERT INTO {outbox} (format, event_id, topic, key, value, partitioner, attributes)
	SELECT format, event_id, topic, key, value, partitioner, attributes FROM due ORDER BY due_at, id`
