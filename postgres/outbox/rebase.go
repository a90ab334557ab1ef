package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// identify returns the server's system identifier and the database's name. initdb
// makes the identifier; a physical replica has the same one, and a dump does not
// contain it.
func (r *Relay) identify(ctx context.Context) (system int64, database string, err error) {
	err = r.pool.QueryRow(ctx, `SELECT system_identifier, current_database() FROM pg_control_system()`).Scan(&system, &database)
	return system, database, err
}

// rebase adapts an outbox to the cluster that it was restored into from a dump, where
// the stored transaction ids mean nothing. With the rows of all relay names locked,
// rows that some relay has yet to send get this transaction's id and enter the next
// window, in order of their ids; all others get an id that is in no window. If the
// names had different positions, those that were further send rows again.
func (r *Relay) rebase(ctx context.Context, l *lease, c cursor, system int64) (cursor, error) {
	r.config.Logger.Warn("the database is another cluster than the cursor's, as after a restored dump: rebasing", "was", uint64(c.system), "is", uint64(system)) //nolint:gosec // their bits
	// The snapshot is taken before the transaction begins, so it does not show the
	// transaction's id.
	var from string
	if err := r.pool.QueryRow(ctx, `SELECT pg_current_snapshot()::text`).Scan(&from); err != nil {
		return c, err
	}
	var before time.Time
	err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		// The whole table is rewritten, which may exceed the role's timeouts.
		if _, err := tx.Exec(ctx, `SELECT `+noTimeouts); err != nil {
			return err
		}
		// No relay may store a cursor of the old cluster while rows get new transaction ids.
		if _, err := tx.Exec(ctx, r.names.sql(`SELECT FROM {relay} FOR UPDATE`)); err != nil {
			return err
		}
		var epoch int64
		if err := tx.QueryRow(ctx, r.names.sql(`SELECT epoch FROM {relay} WHERE name = $1`), r.config.Name).Scan(&epoch); err != nil {
			return err
		}
		// The lease may have been lost while the transaction waited for the locks.
		if epoch != l.epoch {
			return errNotLeading
		}
		// Transactions of this cluster have written to the table only since it was
		// created here. The catalogue row of a system column never changes, so its
		// xmin is the transaction that created the table.
		var made string
		if err := tx.QueryRow(ctx, `SELECT (pg_current_xact_id()::text::numeric - age(xmin))::text FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = 'xmin'`, r.names.outbox).Scan(&made); err != nil {
			return err
		}
		// In a window that was being walked, rows up to last are sent. Rows that were
		// written after the restore have transaction ids of this cluster, which the
		// old snapshots may show as sent. They are recognized by being younger than
		// the cursor, or by an xid between the table's creation and the transaction of
		// their own tuple. Tuples of the old cluster that pg_upgrade kept are older
		// than that.
		pending := `EXISTS (SELECT FROM {relay} r WHERE o.created_at > r.moved_at
			OR o.xid::text::numeric BETWEEN $1::numeric AND pg_current_xact_id()::text::numeric - age(o.xmin)
			OR NOT pg_visible_in_snapshot(o.xid, r.from_snapshot)
				AND NOT (r.to_snapshot IS NOT NULL AND pg_visible_in_snapshot(o.xid, r.to_snapshot) AND o.id <= r.last_id))`
		// 3 is the first transaction id that PostgreSQL gives to ordinary transactions: every
		// snapshot shows it.
		if _, err := tx.Exec(ctx, r.names.sql(`UPDATE {outbox} o SET xid = CASE WHEN `+pending+` THEN pg_current_xact_id() ELSE '3'::xid8 END`), made); err != nil {
			return err
		}
		// All names are updated at once, so that the next leader finds the new
		// identifier and does not rebase. The row was locked, so no other process has
		// taken the lease, which restarts now.
		before = time.Now()
		_, err := tx.Exec(ctx, r.names.sql(`UPDATE {relay} SET system_identifier = $1, from_snapshot = $2::text::pg_snapshot, to_snapshot = NULL, last_id = 0,
			expires_at = CASE WHEN name = $3 THEN clock_timestamp() + $4::float8 * interval '1 second' ELSE expires_at END`), system, from, r.config.Name, r.config.Lease.Seconds())
		return err
	})
	if err != nil {
		return c, fmt.Errorf("rebasing after a restore: %w", err)
	}
	l.until = before.Add(r.config.Lease)
	return cursor{from: from, system: system, run: c.run}, nil
}
