package outbox

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/eventbus-go/eventbus"
	"github.com/jackc/pgx/v5"
)

// SQLSTATEs whose errors get advice. Appendix A of PostgreSQL's documentation
// lists the codes.
const (
	undefinedTable      = "42P01"
	inFailedTransaction = "25P02"
	insufficientRights  = "42501"
	undefinedColumn     = "42703"
	readOnlyTransaction = "25006"
	uniqueViolation     = "23505"
)

// state returns the SQLSTATE of an error of any driver, or "" if there is none. It
// looks for a method, since other drivers don't return pgx's type.
func state(err error) string {
	var s interface{ SQLState() string }
	if errors.As(err, &s) {
		return s.SQLState()
	}
	return ""
}

// writeError wraps the error of writing envelopes, and adds what to do about it.
func writeError(n names, envelopes []*eventbus.Envelope, err error) error {
	switch {
	// pgx and database/sql have different errors for a transaction that is over.
	case errors.Is(err, pgx.ErrTxClosed), errors.Is(err, sql.ErrTxDone):
		err = fmt.Errorf("the transaction is over: publish before its commit: %w", err)
	case state(err) == undefinedTable:
		err = fmt.Errorf("%w: %w", missing(n), err)
	case state(err) == undefinedColumn:
		err = fmt.Errorf("%w: %s has another version than this program: %w", ErrSchema, n.bare, err)
	case state(err) == inFailedTransaction:
		err = fmt.Errorf("the transaction was aborted by an earlier error; look for that one: %w", err)
	case state(err) == readOnlyTransaction:
		err = fmt.Errorf("the transaction is read-only, or the server a read replica: begin one that writes, on the primary: %w", err)
	case state(err) == insufficientRights:
		err = fmt.Errorf("the role may not write to the outbox; outbox.Grants has the privileges that it needs: %w", err)
	}
	e := &eventbus.Error{Op: "write to the outbox " + n.bare, Topic: envelopes[0].Topic, Err: err}
	// A batch fails as a whole, not because of a single event.
	if len(envelopes) == 1 {
		e.EventID = envelopes[0].ID
	}
	return e
}
