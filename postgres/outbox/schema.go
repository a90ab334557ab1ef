package outbox

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrSchema means that the tables of the outbox are missing, or have a version that
// this program does not support. The text says what to do.
var ErrSchema = errors.New("outbox schema")

// Migrate creates or updates the tables of an outbox. Any number of instances may run it
// at once, beside relays of the previous version. It blocks writers of a table only for
// the change of the table's definition. It refuses a schema that is newer than this
// program. The pool needs two connections.
func Migrate(ctx context.Context, pool *pgxpool.Pool, table Table) error {
	n, err := table.names()
	if err != nil {
		return fmt.Errorf("outbox: migrate: %w", err)
	}
	// A step holds one connection for its transaction while it builds an index on another.
	if pool.Config().MaxConns < 2 {
		return fmt.Errorf("outbox: migrate %s: the pool has one connection, and two are needed: raise MaxConns", n.bare)
	}
	if err := checkServer(ctx, pool); err != nil {
		return fmt.Errorf("outbox: migrate %s: %w", n.bare, err)
	}
	// Each step has its own transaction. While another instance runs one, this one
	// waits and looks again.
	for done := false; !done && err == nil; {
		if done, err = migrateStep(ctx, pool, n, table.Partitioned); err == nil && !done && !wait(ctx, migrateEvery) {
			err = ctx.Err()
		}
	}
	if err != nil {
		return fmt.Errorf("outbox: migrate %s: %w", n.bare, err)
	}
	return nil
}

// migrateEvery is the time between looks at whether another instance has finished.
const migrateEvery = 20 * time.Millisecond

// migrateStep moves the schema one version forward, unless another instance is doing
// so, and reports whether the schema was already the latest.
func migrateStep(ctx context.Context, pool *pgxpool.Pool, n names, partitioned bool) (done bool, err error) {
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		// This is a transaction's lock, since session locks don't work behind
		// PgBouncer. It does not wait, because building an index would wait for the
		// transactions that wait for the lock.
		var mine bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, lockOf("eventbus migrate "+n.bare)).Scan(&mine); err != nil || !mine {
			return err
		}
		version, err := versionOf(ctx, tx, n)
		if err != nil {
			return err
		}
		if version > latest() {
			return newer(n, version)
		}
		if done = version == latest(); done {
			return nil
		}
		if index := migrations[version].index; index[0] != "" {
			// The build takes long. It would also wait for the snapshot of this
			// transaction's last query, which the next statement releases.
			if _, err := tx.Exec(ctx, `SET LOCAL idle_in_transaction_session_timeout = 0`, pgx.QueryExecModeSimpleProtocol); err != nil {
				return err
			}
			if err := buildIndex(ctx, pool, n, index); err != nil {
				return fmt.Errorf("build the index %s: %w", index[0], err)
			}
		}
		_, err = tx.Exec(ctx, sqlOf(n, version, partitioned))
		return err
	})
	return done, err
}

// Schema returns the SQL that Migrate runs on an empty database, for the user's own
// migrations. Migrate has nothing to do afterwards.
func Schema(table Table) (string, error) {
	n, err := table.names()
	if err != nil {
		return "", fmt.Errorf("outbox: %w", err)
	}
	return sqlFrom(n, 0, table.Partitioned), nil
}

// Grants returns the SQL that gives roles the least privileges: writer to write events,
// and relay to relay them.
func Grants(table Table, writer, relay string) (string, error) {
	n, err := table.names()
	if err != nil {
		return "", fmt.Errorf("outbox: %w", err)
	}
	var b strings.Builder
	// A writer may not read the outbox. Of the scheduled events it needs what Cancel does.
	if writer != "" {
		role := pgx.Identifier{writer}.Sanitize()
		fmt.Fprintf(&b, "GRANT USAGE ON SCHEMA %s TO %s;\nGRANT INSERT ON %s TO %s;\nGRANT SELECT, INSERT, DELETE ON %s TO %s;\n", n.schema, role, n.outbox, role, n.scheduled, role)
	}
	if relay != "" {
		role := pgx.Identifier{relay}.Sanitize()
		fmt.Fprintf(&b, "GRANT USAGE ON SCHEMA %s TO %s;\nGRANT SELECT, INSERT, UPDATE, DELETE ON %s, %s, %s, %s, %s TO %s;\nGRANT SELECT ON %s TO %s;\n",
			n.schema, role, n.outbox, n.relay, n.run, n.parked, n.scheduled, role, n.version, role)
		// Partitions are made and dropped by the function, which has its owner's rights.
		if table.Partitioned {
			fmt.Fprintf(&b, "GRANT SELECT, DELETE ON %s TO %s;\nGRANT EXECUTE ON FUNCTION %s(double precision, integer) TO %s;\n", n.overflow, role, n.rotate, role)
		}
	}
	return b.String(), nil
}

// versionOf returns the version of the schema, or 0 if there is none.
func versionOf(ctx context.Context, q querier, n names) (version int, err error) {
	// to_regclass returns NULL if the table is missing. Querying the table would fail,
	// and abort the transaction that this may run in.
	var there bool
	if err := q.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, n.version).Scan(&there); err != nil || !there {
		return 0, err
	}
	err = q.QueryRow(ctx, n.sql(`SELECT version FROM {version}`)).Scan(&version)
	return version, err
}

// checkVersion refuses tables that are missing, older or newer than this program.
func checkVersion(ctx context.Context, q querier, n names) error {
	version, err := versionOf(ctx, q, n)
	switch {
	case err != nil:
		return err
	case version == 0:
		return missing(n)
	case version > latest():
		return newer(n, version)
	case version < latest():
		return fmt.Errorf("%w: %s has version %d and this program needs %d: run `eventbus outbox migrate`, or outbox.Migrate", ErrSchema, n.bare, version, latest())
	}
	return nil
}

// missing returns the error of an outbox without tables, and says how to get them.
func missing(n names) error {
	return fmt.Errorf("%w: the table %s does not exist: run `eventbus outbox migrate`, or outbox.Migrate, or the SQL of outbox.Schema", ErrSchema, n.bare)
}

// newer returns the error of tables that a newer program has migrated.
func newer(n names, version int) error {
	return fmt.Errorf("%w: %s has version %d, newer than this program's %d: update the program; nothing was changed", ErrSchema, n.bare, version, latest())
}

// querier is a pool, a connection or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// lockOf returns the number of an advisory lock. A zero byte ends each part, so that
// parts don't run together. The number must be the same in every version, since
// instances of different versions share locks.
func lockOf(parts ...string) int64 {
	h := fnv.New64a()
	for _, part := range parts {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return int64(h.Sum64()) //nolint:gosec // all 64 bits count; the sign means nothing
}
