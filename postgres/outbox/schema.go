package outbox

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// migrations are the steps of the schema, each run once, in a transaction. A step
// that was released is never changed: another follows it.
var migrations = []string{`
CREATE TABLE {outbox} (
	id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	xid         xid8 NOT NULL DEFAULT pg_current_xact_id(),
	format      smallint NOT NULL,
	event_id    text NOT NULL,
	topic       text NOT NULL,
	key         bytea,
	value       bytea,
	partitioner text NOT NULL DEFAULT '',
	attributes  bytea NOT NULL,
	created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON {outbox} (xid, id);
CREATE TABLE {scheduled} (
	id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	due_at      timestamptz NOT NULL,
	format      smallint NOT NULL,
	event_id    text NOT NULL,
	topic       text NOT NULL,
	key         bytea,
	value       bytea,
	partitioner text NOT NULL DEFAULT '',
	attributes  bytea NOT NULL
);
CREATE INDEX ON {scheduled} (due_at, id);
CREATE INDEX ON {scheduled} (event_id);
CREATE TABLE {relay} (
	name              text PRIMARY KEY,
	epoch             bigint NOT NULL DEFAULT 0,
	holder            text NOT NULL DEFAULT '',
	expires_at        timestamptz NOT NULL DEFAULT '-infinity',
	system_identifier bigint NOT NULL,
	from_snapshot     pg_snapshot NOT NULL,
	to_snapshot       pg_snapshot,
	last_id           bigint NOT NULL DEFAULT 0,
	published         bigint NOT NULL DEFAULT 0,
	moved_at          timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE {parked} (
	relay       text NOT NULL,
	id          bigint NOT NULL,
	format      smallint NOT NULL,
	event_id    text NOT NULL,
	topic       text NOT NULL,
	key         bytea,
	value       bytea,
	partitioner text NOT NULL,
	attributes  bytea NOT NULL,
	created_at  timestamptz NOT NULL,
	parked_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
	error       text,
	attempts    integer NOT NULL DEFAULT 0,
	next_at     timestamptz NOT NULL DEFAULT 'infinity',
	PRIMARY KEY (relay, id)
);
CREATE INDEX ON {parked} (relay, next_at);
INSERT INTO {relay} (name, system_identifier, from_snapshot)
	SELECT 'default', system_identifier, pg_current_snapshot() FROM pg_control_system();
`}

// latest is the version of the schema that this code works with.
func latest() int { return len(migrations) }

// ErrSchema: the tables of the outbox are missing, or of a version that this
// program does not work with. The text says what to do.
var ErrSchema = errors.New("outbox schema")

// Migrate creates or updates the tables of an outbox. It may run at the same time
// in any number of instances, and beside relays of the version before. It refuses
// a schema that is newer than this program.
func Migrate(ctx context.Context, pool *pgxpool.Pool, table Table) error {
	n, err := table.names()
	if err != nil {
		return fmt.Errorf("outbox: migrate: %w", err)
	}
	if err := checkServer(ctx, pool); err != nil {
		return fmt.Errorf("outbox: migrate %s: %w", n.bare, err)
	}
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		// A lock of the transaction: session locks don't work behind PgBouncer.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lockOf("eventbus migrate "+n.bare)); err != nil {
			return err
		}
		version, err := versionOf(ctx, tx, n)
		if err != nil {
			return err
		}
		if version > latest() {
			return newer(n, version)
		}
		if version == latest() {
			return nil
		}
		_, err = tx.Exec(ctx, sqlFrom(n, version))
		return err
	})
	if err != nil {
		return fmt.Errorf("outbox: migrate %s: %w", n.bare, err)
	}
	return nil
}

// Schema returns the SQL that Migrate runs on an empty database, for the user's
// own migrations: afterwards Migrate finds nothing to do.
func Schema(table Table) (string, error) {
	n, err := table.names()
	if err != nil {
		return "", fmt.Errorf("outbox: %w", err)
	}
	return sqlFrom(n, 0), nil
}

// Grants returns the SQL that gives a role the least it needs: to write events, or
// to relay them.
func Grants(table Table, writer, relay string) (string, error) {
	n, err := table.names()
	if err != nil {
		return "", fmt.Errorf("outbox: %w", err)
	}
	var b strings.Builder
	if writer != "" {
		role := pgx.Identifier{writer}.Sanitize()
		fmt.Fprintf(&b, "GRANT USAGE ON SCHEMA %s TO %s;\nGRANT INSERT ON %s TO %s;\nGRANT SELECT, INSERT, DELETE ON %s TO %s;\n", n.schema, role, n.outbox, role, n.scheduled, role)
	}
	if relay != "" {
		role := pgx.Identifier{relay}.Sanitize()
		fmt.Fprintf(&b, "GRANT USAGE ON SCHEMA %s TO %s;\nGRANT SELECT, INSERT, UPDATE, DELETE ON %s, %s, %s, %s TO %s;\nGRANT SELECT ON %s TO %s;\n",
			n.schema, role, n.outbox, n.relay, n.parked, n.scheduled, role, n.version, role)
	}
	return b.String(), nil
}

func sqlFrom(n names, version int) string {
	var b strings.Builder
	if version == 0 {
		if n.schema != `"public"` {
			b.WriteString("CREATE SCHEMA IF NOT EXISTS {schema};\n")
		}
		b.WriteString("CREATE TABLE {version} (version integer NOT NULL);\nINSERT INTO {version} VALUES (0);\n")
	}
	for _, step := range migrations[version:] {
		b.WriteString(step)
	}
	fmt.Fprintf(&b, "UPDATE {version} SET version = %d;\n", latest())
	return n.sql(b.String())
}

// versionOf returns the version of the schema, 0 if there is none.
func versionOf(ctx context.Context, q querier, n names) (version int, err error) {
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

func missing(n names) error {
	return fmt.Errorf("%w: the table %s does not exist: run `eventbus outbox migrate`, or outbox.Migrate, or the SQL of outbox.Schema", ErrSchema, n.bare)
}

func newer(n names, version int) error {
	return fmt.Errorf("%w: %s has version %d, newer than this program's %d: update the program; nothing was changed", ErrSchema, n.bare, version, latest())
}

// querier is a pool, a connection or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// lockOf returns the number of an advisory lock.
func lockOf(parts ...string) int64 {
	h := fnv.New64a()
	for _, part := range parts {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return int64(h.Sum64()) //nolint:gosec // all 64 bits count, whatever the sign
}
