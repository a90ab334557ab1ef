package inbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Table names the table of an inbox. The zero Table is public.inbox.
type Table struct {
	Schema string // default "public"
	Name   string // default "inbox"
}

// String returns "schema.name".
func (t Table) String() string { return cmp.Or(t.Schema, "public") + "." + cmp.Or(t.Name, "inbox") }

// validName allows nothing that needs escaping, and leaves room for a suffix below 63
// bytes, where PostgreSQL truncates names.
var validName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)

// quoted returns the name for SQL, with the defaults filled in.
func (t Table) quoted() (string, error) {
	schema, name := cmp.Or(t.Schema, "public"), cmp.Or(t.Name, "inbox")
	for _, s := range []string{schema, name} {
		if !validName.MatchString(s) {
			return "", fmt.Errorf("inbox: the table %q.%q: use at most 40 lower-case letters, digits and _, not beginning with a digit", schema, name)
		}
	}
	return `"` + schema + `"."` + name + `"`, nil
}

// ErrSchema means that the table of the inbox does not exist.
var ErrSchema = errors.New("inbox schema")

// Schema returns the SQL that Migrate runs, for the user's own migrations. It may run
// any number of times.
func Schema(table Table) (string, error) {
	name, err := table.quoted()
	if err != nil {
		return "", err
	}
	sql := ""
	if s := cmp.Or(table.Schema, "public"); s != "public" {
		sql = `CREATE SCHEMA IF NOT EXISTS "` + s + `";` + "\n"
	}
	return sql + `CREATE TABLE IF NOT EXISTS ` + name + ` (
	key text COLLATE "C" PRIMARY KEY,
	at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS "` + cmp.Or(table.Name, "inbox") + `_at" ON ` + name + ` (at);
`, nil
}

// Migrate creates the table. Any number of instances may run it at once.
func Migrate(ctx context.Context, pool *pgxpool.Pool, table Table) error {
	sql, err := Schema(table)
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		// IF NOT EXISTS alone fails if another instance creates the table at the same
		// time.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext($1))`, "eventbus inbox "+table.String()); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, sql)
		return err
	})
	if err != nil {
		return fmt.Errorf("inbox: migrate %s: %w", table, err)
	}
	return nil
}

// cleanRows bounds one DELETE, so that none holds locks for long.
const cleanRows = 10_000

// Clean deletes keys that are older than Config.Keep, in chunks, and returns their
// number. Any number of instances may clean at once.
func (b *Inbox) Clean(ctx context.Context) (deleted int64, err error) {
	for {
		rows, err := b.database.exec(ctx, `DELETE FROM `+b.table+` WHERE key = ANY(ARRAY(
			SELECT key FROM `+b.table+` WHERE at < clock_timestamp() - $1::float8 * interval '1 second' ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED))`,
			b.config.Keep.Seconds(), cleanRows)
		if err != nil {
			return deleted, fmt.Errorf("inbox: clean %s: %w", b.config.Table, err)
		}
		deleted += rows
		if rows < cleanRows {
			return deleted, nil
		}
	}
}

// Run cleans once a minute until ctx ends, and logs failures.
func (b *Inbox) Run(ctx context.Context) error {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for {
		if _, err := b.Clean(ctx); err != nil && ctx.Err() == nil {
			b.config.Logger.Warn("old keys were not deleted", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
