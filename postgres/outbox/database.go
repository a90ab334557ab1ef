package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrServer means that an outbox does not work on this database. The text says why.
var ErrServer = errors.New("outbox server")

// checkServer refuses read replicas, and databases without the snapshots that the
// order of events depends on.
func checkServer(ctx context.Context, pool *pgxpool.Pool) error {
	// The version comes first: a system that only speaks PostgreSQL's protocol may
	// lack the functions that the later checks call, and fail with an unclear error.
	var version string
	var number int
	if err := pool.QueryRow(ctx, `SELECT version(), current_setting('server_version_num')::int`).Scan(&version, &number); err != nil {
		return err
	}
	switch {
	case strings.Contains(version, "CockroachDB"), strings.Contains(version, "-YB-"):
		return fmt.Errorf("%w: %.60s has no pg_current_snapshot, by which the relay knows what has committed: PostgreSQL itself is needed", ErrServer, version)
	case number < 130000:
		return fmt.Errorf("%w: PostgreSQL %d.%d has no xid8: 13 or later is needed", ErrServer, number/10000, number%10000)
	}
	// A replica answers every read, so the checks above don't detect one.
	var replica bool
	if err := pool.QueryRow(ctx, `SELECT pg_is_in_recovery()`).Scan(&replica); err != nil {
		return err
	}
	if replica {
		return fmt.Errorf("%w: it is a read replica, where nothing can be leased or deleted: connect to the primary", ErrServer)
	}
	return nil
}

// checkBytes refuses a setting of bytea_output that pgx can't read in the modes in
// which it gets keys and values as text.
func checkBytes(ctx context.Context, pool *pgxpool.Pool) error {
	if mode := pool.Config().ConnConfig.DefaultQueryExecMode; mode != pgx.QueryExecModeSimpleProtocol && mode != pgx.QueryExecModeExec {
		return nil
	}
	var form string
	if err := pool.QueryRow(ctx, `SELECT current_setting('bytea_output')`).Scan(&form); err != nil {
		return err
	}
	if form != "hex" {
		return fmt.Errorf("%w: bytea_output is %s, and the modes exec and simple_protocol of pgx need hex: set it for the role, or bytea_output=hex in the address", ErrServer, form)
	}
	return nil
}

// checkPolicies refuses policies that hide rows of the tables from the role: the relay
// would take them for sent.
func checkPolicies(ctx context.Context, pool *pgxpool.Pool, n names) error {
	var hidden []string
	err := pool.QueryRow(ctx, `SELECT array_agg(name) FILTER (WHERE row_security_active(name)) FROM unnest($1::text[]) tables (name)`,
		[]string{n.outbox, n.relay, n.run, n.parked, n.scheduled}).Scan(&hidden)
	if err != nil {
		return fmt.Errorf("row-level security of %s: %w", n.bare, err)
	}
	if len(hidden) > 0 {
		return fmt.Errorf("%w: row-level security may hide rows of %s from the role, which would then not be sent: disable it there, or give the role BYPASSRLS", ErrServer, strings.Join(hidden, ", "))
	}
	return nil
}

// checkSequence refuses an id sequence that caches values in sessions: ids would not
// increase in the order of the keys' locks.
func checkSequence(ctx context.Context, pool *pgxpool.Pool, n names) error {
	// The sequence is looked up by its column: its name depends on the server, or on
	// the migration that created the table.
	var cache int64
	err := pool.QueryRow(ctx, `SELECT seqcache FROM pg_sequence WHERE seqrelid = pg_get_serial_sequence($1, 'id')::regclass`, n.outbox).Scan(&cache)
	if err != nil {
		return fmt.Errorf("the sequence of %s.id: %w", n.bare, err)
	}
	if cache != 1 {
		return fmt.Errorf("%w: the sequence of %s.id has CACHE %d, with which ids of one key go backwards: ALTER TABLE %s ALTER COLUMN id SET CACHE 1", ErrServer, n.bare, cache, n.bare)
	}
	return nil
}
