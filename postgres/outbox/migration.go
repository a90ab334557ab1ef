package outbox

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// migration is a step of the schema. A released step never changes; a later step
// follows it. Relays of the previous version may run while it is applied.
type migration struct {
	// sql runs in one transaction with the update of the version number.
	sql string
	// index is built before sql without blocking writers, as tables that hold rows
	// require. It has the index's name, and "table (columns)".
	index [2]string
}

// migrations lead from an empty database to the latest version. In the outbox, id
// orders the events of a key, and xid is compared with the snapshots of a cursor. A
// parked row is a copy: it outlives the row of the outbox, which cleaning deletes.
// Columns from format to attributes are those of type row. days maps the name of each
// daily partition to how many of its rows the relay has passed. The table of runs is
// UNLOGGED: its rows survive neither a crash of the server nor a failover, which may
// lose transactions and give their ids again.
var migrations = []migration{{sql: `
CREATE TABLE {outbox} (
	id          bigint GENERATED ALWAYS AS IDENTITY,
	xid         xid8 NOT NULL DEFAULT pg_current_xact_id(),
	format      smallint NOT NULL,
	event_id    text NOT NULL,
	topic       text NOT NULL,
	key         bytea,
	value       bytea,
	partitioner text NOT NULL DEFAULT '',
	attributes  bytea NOT NULL,
	created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
	PRIMARY KEY {primary key}
){partitioned};
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
	moved_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
	days              jsonb NOT NULL DEFAULT '{}'
);
CREATE UNLOGGED TABLE {run} (
	name    text PRIMARY KEY,
	id      uuid NOT NULL,
	started timestamptz NOT NULL
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
`}}

// latest is the version of the schema that this code works with.
func latest() int { return len(migrations) }

// primaryKeys has the primary key of the outbox, by whether it is partitioned:
// PostgreSQL requires the partitioning column in it.
var primaryKeys = map[bool]string{false: "(id)", true: "(id, created_at)"}

// sqlFrom returns the SQL of all steps from a version on, for tables that are empty.
func sqlFrom(n names, version int, partitioned bool) string {
	var b strings.Builder
	for v, step := range migrations[version:] {
		// Nobody uses an empty table, so building the index may block writers.
		if step.index[0] != "" {
			fmt.Fprintf(&b, "CREATE INDEX IF NOT EXISTS %s ON %s;\n", step.index[0], step.index[1])
		}
		b.WriteString(sqlOf(n, version+v, partitioned))
	}
	return n.sql(b.String())
}

// sqlOf returns the SQL of the step from a version to the next, without its index.
func sqlOf(n names, version int, partitioned bool) string {
	var b strings.Builder
	by := ""
	if version == 0 {
		// CREATE SCHEMA needs a privilege that many roles lack, and public exists
		// already.
		if n.schema != `"public"` {
			b.WriteString("CREATE SCHEMA IF NOT EXISTS {schema};\n")
		}
		b.WriteString("CREATE TABLE {version} (version integer NOT NULL);\nINSERT INTO {version} VALUES (0);\n")
		if partitioned {
			by = " PARTITION BY RANGE (created_at)"
		}
	}
	b.WriteString(strings.NewReplacer("{primary key}", primaryKeys[partitioned], "{partitioned}", by).Replace(migrations[version].sql))
	if version == 0 && partitioned {
		b.WriteString(partitionSQL)
	}
	// The number changes in the step's transaction, so it always matches the tables.
	fmt.Fprintf(&b, "UPDATE {version} SET version = %d;\n", version+1)
	return n.sql(b.String())
}

// buildIndex builds the index of a step without blocking writers. It rebuilds what an
// interrupted attempt left, which PostgreSQL marks as invalid.
func buildIndex(ctx context.Context, pool *pgxpool.Pool, n names, index [2]string) error {
	table, columns, _ := strings.Cut(index[1], " ")
	// A partitioned table's index can't be built concurrently, but it can adopt those
	// of its partitions.
	rows, err := pool.Query(ctx, `SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::regclass`, n.sql(table))
	if err != nil {
		return err
	}
	tables, err := collectTexts(rows)
	if err != nil {
		return err
	}
	if len(tables) == 0 {
		return buildOne(ctx, pool, n, index[0], n.sql(table), columns, "CONCURRENTLY")
	}
	// One after the other, so that only one build at a time loads the server.
	for i, partition := range tables {
		if err := buildOne(ctx, pool, n, fmt.Sprintf("%s_%d", index[0], i), partition, columns, "CONCURRENTLY"); err != nil {
			return err
		}
	}
	// This finds the partitions' indexes by their columns and adopts them, so it
	// builds nothing and takes little time.
	return buildOne(ctx, pool, n, index[0], n.sql(table), columns, "")
}

// buildOne builds one index, unless an earlier attempt has finished it. how is
// CONCURRENTLY, which can't run in a transaction, or empty.
func buildOne(ctx context.Context, pool *pgxpool.Pool, n names, index, table, columns, how string) error {
	// IF NOT EXISTS would keep an invalid index.
	var broken bool
	if err := pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid)`, n.schema+"."+index).Scan(&broken); err != nil {
		return err
	}
	if broken {
		if _, err := pool.Exec(ctx, `DROP INDEX `+how+` `+n.schema+`.`+index); err != nil {
			return err
		}
	}
	_, err := pool.Exec(ctx, `CREATE INDEX `+how+` IF NOT EXISTS `+index+` ON `+table+` `+columns)
	return err
}
