package outbox

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/eventbus-go/eventbus"
	"github.com/jackc/pgx/v5"
)

// SQLSTATEs that have a remedy.
// The codes are those of PostgreSQL's appendix A.
const (
	undefinedTable      = "42P01"
	inFailedTransaction = "25P02"
	insufficientRights  = "42501"
	undefinedColumn     = "42703"
	readOnlyTransaction = "25006"
)

// state returns the SQLSTATE of an error, whichever driver it is from.
// It asks for a method rather than for pgx's type, which other drivers of
// database/sql don't return. Without a code it returns "".
func state(err error) string {
	var s interface{ SQLState() string }
	if errors.As(err, &s) {
		return s.SQLState()
	}
	return ""
}

// writeError says where and what, and what to do about it. The cause stays intact.
func writeError(n names, envelopes []*eventbus.Envelope, err error) error {
	switch {
	// Each driver interface has an error of its own for a transaction that is over.
	case errors.Is(err, pgx.ErrTxClosed), errors.Is(err, sql.ErrTxDone):
		err = fmt.Errorf("the transaction is over: publish before its commit: %w", err)
	case state(err) == undefinedTable:
		err = fmt.Errorf("%w: %w", missing(n), err)
	case state(err) == undefinedColumn:
		err = fmt.Errorf("%w: %s has another version than this program: %w", ErrSchema, n.bare, err)
	case state(err) == inFailedTransaction:
		err = fmt.Errorf("the transaction was aborted by an earlier error, look for that: %w", err)
	case state(err) == readOnlyTransaction:
		err = fmt.Errorf("the transaction is read-only, or the server a read replica: begin one that writes, on the primary: %w", err)
	case state(err) == insufficientRights:
		err = fmt.Errorf("the role may not write the outbox, outbox.Grants has what it needs: %w", err)
	}
	e := &eventbus.Error{Op: "write to the outbox " + n.bare, Topic: envelopes[0].Topic, Err: err}
	// A batch fails as a whole: no single event of it is to blame.
	if len(envelopes) == 1 {
		e.EventID = envelopes[0].ID
	}
	return e
}
