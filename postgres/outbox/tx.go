package outbox

import (
	"context"
	"database/sql"
	"errors"

	"github.com/eventbus-go/eventbus/postgres/internal/carry"
	"github.com/jackc/pgx/v5"
)

// Tx is the caller's transaction: [Pgx], [SQL], or one of [Memory]. The outbox writes in
// it and never ends it.
type Tx interface {
	// exec runs a statement and returns how many rows it wrote.
	exec(ctx context.Context, statement string, args ...any) (int64, error)
}

// errNoTx means that the caller passed no transaction. The outbox exists to prevent
// events outside of one.
var errNoTx = errors.New("there is no transaction: pass the one that makes the change that the event reports, with outbox.Pgx or outbox.SQL")

// Pgx returns the Tx of a pgx transaction. For nil it returns a nil Tx, which Publish
// refuses.
func Pgx(tx pgx.Tx) Tx {
	if tx == nil {
		return nil
	}
	return pgxTx{tx}
}

// SQL returns the Tx of a database/sql transaction on PostgreSQL, with any driver that
// accepts []byte, string, int64 and time.Time and the placeholders $1, $2, …
func SQL(tx *sql.Tx) Tx {
	if tx == nil {
		return nil
	}
	return sqlTx{tx}
}

// FromContext returns the transaction that an inbox began for the handler that was
// called with ctx. What the handler publishes in it commits with the inbox.
func FromContext(ctx context.Context) (Tx, bool) {
	switch tx := carry.From(ctx).(type) {
	case pgx.Tx:
		return pgxTx{tx}, true
	case *sql.Tx:
		return sqlTx{tx}, true
	case *MemoryTx:
		return tx, true
	}
	return nil, false
}

// pgxTx is the Tx of Pgx.
type pgxTx struct{ tx pgx.Tx }

func (t pgxTx) exec(ctx context.Context, statement string, args ...any) (int64, error) {
	tag, err := t.tx.Exec(ctx, statement, args...)
	return tag.RowsAffected(), err
}

// sqlTx is the Tx of SQL.
type sqlTx struct{ tx *sql.Tx }

func (t sqlTx) exec(ctx context.Context, statement string, args ...any) (int64, error) {
	result, err := t.tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
