package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// identify returns the server's system identifier and the database's name.
// initdb makes the identifier: a dump does not carry it, and a physical replica keeps it.
func (r *Relay) identify(ctx context.Context) (system int64, database string, err error) {
	err = r.pool.QueryRow(ctx, `SELECT system_identifier, current_database() FROM pg_control_system()`).Scan(&system, &database)
	return system, database, err
}

// rebase brings an outbox into a cluster that it was restored into from a dump:
// stored transaction ids mean nothing there. Under the leases of all relay names,
// rows that some relay has yet to send get this transaction's id and enter the next
// window, in order of their ids; all others get one that is in no window. Where
// several names differ in how far they were, rows are sent again by those that
// were further.
func (r *Relay) rebase(ctx context.Context, l *lease, c cursor, system int64) (cursor, error) {
	r.config.Logger.Warn("the database is another cluster than the cursor's, as after a restored dump: rebasing", "was", uint64(c.system), "is", uint64(system)) //nolint:gosec // their bits
	// Taken before the transaction gets its id, which is beyond it therefore.
	var from string
	if err := r.pool.QueryRow(ctx, `SELECT pg_current_snapshot()::text`).Scan(&from); err != nil {
		return c, err
	}
	var before time.Time
	err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		// The whole table is rewritten, for which a role's timeout may be too short.
		if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0`); err != nil {
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
		// The lease may have been lost while this waited for the locks.
		if epoch != l.epoch {
			return errNotLeading
		}
		// Transactions of this cluster have written to the table only since it was created here.
		// The catalogue's row of a system column never changes, so its transaction is the one
		// that created the table.
		var made string
		if err := tx.QueryRow(ctx, `SELECT (pg_current_xact_id()::text::numeric - age(xmin))::text FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = 'xmin'`, r.names.outbox).Scan(&made); err != nil {
			return err
		}
		// Of a window that was being walked, rows up to last are sent. Rows that were
		// written after the restore have ids of this cluster, which the old snapshots
		// may take for sent ones: they are younger than the cursor, and their tuple is
		// of the transaction that they name, or of one within it, since the table was made.
		// Where pg_upgrade kept the tuples of the old cluster, those are older than that.
		pending := `EXISTS (SELECT FROM {relay} r WHERE o.created_at > r.moved_at
			OR o.xid::text::numeric BETWEEN $1::numeric AND pg_current_xact_id()::text::numeric - age(o.xmin)
			OR NOT pg_visible_in_snapshot(o.xid, r.from_snapshot)
				AND NOT (r.to_snapshot IS NOT NULL AND pg_visible_in_snapshot(o.xid, r.to_snapshot) AND o.id <= r.last_id))`
		// 3 is the first transaction id that PostgreSQL gives to ordinary transactions: every
		// snapshot shows it.
		if _, err := tx.Exec(ctx, r.names.sql(`UPDATE {outbox} o SET xid = CASE WHEN `+pending+` THEN pg_current_xact_id() ELSE '3'::xid8 END`), made); err != nil {
			return err
		}
		// All names at once: whichever leads next finds the new identifier and does not rebase.
		// Nobody has taken the lease, since its row is locked. It begins again with the commit.
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
