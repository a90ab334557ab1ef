package inbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// database is a pool of connections: pgx's or database/sql's.
type database interface {
	begin(ctx context.Context, config *Config) (transaction, error)
	exec(ctx context.Context, statement string, args ...any) (rows int64, err error)
}

// transaction is the transaction of one attempt.
type transaction interface {
	// enter inserts keys and returns those that were new. From then on the server ends
	// the transaction if the process leaves it idle for longer than timeout.
	enter(ctx context.Context, table string, keys []string, timeout time.Duration) (entered []string, err error)
	commit(ctx context.Context) error
	// rollback does nothing after commit. It takes at most five seconds, and does
	// not end with ctx, so that the connection can be used again.
	rollback(ctx context.Context)
	// handle returns the transaction for the handler: a pgx.Tx or a *sql.Tx.
	handle() any
}

const (
	// boundIdle applies to the transaction only. With onlyNew, an INSERT waits if
	// another transaction is entering the same key.
	boundIdle = `SELECT set_config('idle_in_transaction_session_timeout', $1, true)`
	onlyNew   = ` ON CONFLICT DO NOTHING RETURNING key`
)

// milliseconds returns a duration as PostgreSQL reads a setting without a unit.
func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// pgxDatabase is the database of New.
type pgxDatabase struct{ pool *pgxpool.Pool }

func (d pgxDatabase) begin(ctx context.Context, config *Config) (transaction, error) {
	tx, err := d.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: config.Isolation})
	return pgxTransaction{tx}, err
}

func (d pgxDatabase) exec(ctx context.Context, statement string, args ...any) (int64, error) {
	tag, err := d.pool.Exec(ctx, statement, args...)
	return tag.RowsAffected(), err
}

// pgxTransaction is a transaction of pgxDatabase.
type pgxTransaction struct{ tx pgx.Tx }

func (t pgxTransaction) enter(ctx context.Context, table string, keys []string, timeout time.Duration) ([]string, error) {
	// Both statements go in one round trip, which every event pays for.
	var batch pgx.Batch
	batch.Queue(boundIdle, milliseconds(timeout))
	batch.Queue(`INSERT INTO `+table+` (key) SELECT unnest($1::text[])`+onlyNew, keys)
	results := t.tx.SendBatch(ctx, &batch)
	defer results.Close()
	if _, err := results.Exec(); err != nil {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	entered, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	return entered, results.Close()
}

func (t pgxTransaction) commit(ctx context.Context) error { return t.tx.Commit(ctx) }

func (t pgxTransaction) rollback(ctx context.Context) {
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = t.tx.Rollback(ending)
}

func (t pgxTransaction) handle() any { return t.tx }

// sqlDatabase is the database of NewSQL.
type sqlDatabase struct{ db *sql.DB }

// isolations are the levels of database/sql by their names in SQL.
var isolations = map[pgx.TxIsoLevel]sql.IsolationLevel{
	"": sql.LevelDefault, pgx.ReadUncommitted: sql.LevelReadUncommitted, pgx.ReadCommitted: sql.LevelReadCommitted,
	pgx.RepeatableRead: sql.LevelRepeatableRead, pgx.Serializable: sql.LevelSerializable,
}

func (d sqlDatabase) begin(ctx context.Context, config *Config) (transaction, error) {
	tx, err := d.db.BeginTx(ctx, &sql.TxOptions{Isolation: isolations[config.Isolation]})
	return sqlTransaction{tx}, err
}

func (d sqlDatabase) exec(ctx context.Context, statement string, args ...any) (int64, error) {
	result, err := d.db.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// sqlTransaction is a transaction of sqlDatabase.
type sqlTransaction struct{ tx *sql.Tx }

// enter passes the keys as JSON, since drivers have no common form of arrays.
func (t sqlTransaction) enter(ctx context.Context, table string, keys []string, timeout time.Duration) (entered []string, err error) {
	if _, err := t.tx.ExecContext(ctx, boundIdle, milliseconds(timeout)); err != nil {
		return nil, err
	}
	list, err := json.Marshal(keys)
	if err != nil {
		return nil, fmt.Errorf("encode the keys: %w", err)
	}
	rows, err := t.tx.QueryContext(ctx, `INSERT INTO `+table+` (key) SELECT json_array_elements_text($1::json)`+onlyNew, string(list))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		entered = append(entered, key)
	}
	return entered, rows.Err()
}

func (t sqlTransaction) commit(context.Context) error { return t.tx.Commit() }

// rollback needs no bound of its own: database/sql rolls back when the context of
// begin ends.
func (t sqlTransaction) rollback(context.Context) { _ = t.tx.Rollback() }

func (t sqlTransaction) handle() any { return t.tx }
