package outbox

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
)

// Publisher writes the events of one topic into an outbox. It is safe for
// concurrent use and owns nothing.
type Publisher[T any] struct {
	of       *eventbus.Publisher[T]
	table    Table
	settings settings
}

// For returns a publisher whose events go through the outbox public.outbox.
func For[T any](p *eventbus.Publisher[T]) *Publisher[T] { return &Publisher[T]{of: p} }

// In returns a copy of the publisher that writes to another outbox.
func (p *Publisher[T]) In(table Table) *Publisher[T] {
	// p does not change: others may be using it.
	q := *p
	q.table = table
	return &q
}

// With returns a copy of the publisher with options.
func (p *Publisher[T]) With(options ...Option) *Publisher[T] {
	// As in In, p does not change.
	q := *p
	for _, option := range options {
		option(&q.settings)
	}
	return &q
}

// Publish writes an event in the caller's transaction: it is published if, and only if,
// that commits. Its id, time, trace and correlation are set now.
//
// An error of the database aborts the transaction, like that of any statement. An event
// that can't be encoded, or an invalid option, does not.
func (p *Publisher[T]) Publish(ctx context.Context, tx Tx, event T, options ...eventbus.PublishOption) error {
	e, err := p.of.Envelope(ctx, event, options...)
	if err != nil {
		return err
	}
	return write(ctx, tx, p.table, p.settings, e)
}

// PublishBatch writes events in their order. If one can't be encoded, none is written.
func (p *Publisher[T]) PublishBatch(ctx context.Context, tx Tx, events []T, options ...eventbus.BatchOption) error {
	shared := make([]eventbus.PublishOption, len(options))
	for i, o := range options {
		shared[i] = o
	}
	// All events are encoded before the first is written, so that an encoding error
	// leaves the transaction usable.
	envelopes := make([]*eventbus.Envelope, len(events))
	for i, event := range events {
		e, err := p.of.Envelope(ctx, event, shared...)
		if err != nil {
			return fmt.Errorf("event %d of %d: %w", i, len(events), err)
		}
		envelopes[i] = e
	}
	return write(ctx, tx, p.table, p.settings, envelopes...)
}

// Delete writes a tombstone for a key.
func (p *Publisher[T]) Delete(ctx context.Context, tx Tx, key string, options ...eventbus.BatchOption) error {
	e, err := p.of.DeleteEnvelope(ctx, key, options...)
	if err != nil {
		return err
	}
	return write(ctx, tx, p.table, p.settings, e)
}

// Write writes envelopes of any topics into an outbox, in the caller's transaction.
func Write(ctx context.Context, tx Tx, table Table, envelopes []*eventbus.Envelope, options ...Option) error {
	var s settings
	for _, option := range options {
		option(&s)
	}
	return write(ctx, tx, table, s, envelopes...)
}

// atOnce bounds the rows of one statement: the protocol allows at most 65,535
// parameters.
const atOnce = 500

// write writes envelopes in order. It first checks everything that can fail without
// the database, because a failed statement aborts the caller's transaction.
func write(ctx context.Context, tx Tx, table Table, s settings, envelopes ...*eventbus.Envelope) error {
	if len(envelopes) == 0 {
		return nil
	}
	n, err := table.names()
	if err == nil && tx == nil {
		err = errNoTx
	}
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return writeError(n, envelopes, err)
	}
	rows := make([]row, len(envelopes))
	for i, e := range envelopes {
		if rows[i], err = newRow(e); err != nil {
			return writeError(n, envelopes[i:i+1], err)
		}
	}
	// Only after the rows are made, so that a unit test gets the same errors.
	if m, ok := tx.(*MemoryTx); ok {
		return m.write(envelopes, s)
	}
	// Locks come before ids: a transaction that got its id and then waited for the lock
	// would have a smaller id than the one before it in the order of the key.
	if s.keyLock {
		if err := lockKeys(ctx, tx, rows); err != nil {
			return writeError(n, envelopes, err)
		}
	}
	for part := range slices.Chunk(rows, atOnce) {
		if err := insert(ctx, tx, n, part, s.notBefore); err != nil {
			return writeError(n, envelopes, err)
		}
	}
	return nil
}

// insert writes rows in one statement. PostgreSQL gives ids in the order of VALUES.
// id, xid and created_at come from the database: only it knows the transaction's id,
// and all times come from one clock.
func insert(ctx context.Context, tx Tx, n names, rows []row, notBefore time.Time) error {
	into, columns := n.outbox, 6
	if !notBefore.IsZero() {
		into, columns = n.scheduled, 7
	}
	args := make([]any, 0, len(rows)*columns)
	var b strings.Builder
	b.WriteString("INSERT INTO " + into + " (format, event_id, topic, key, value, partitioner, attributes")
	if columns == 7 {
		b.WriteString(", due_at")
	}
	b.WriteString(") VALUES ")
	for i, r := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		at := len(args)
		// The format is one of this program's constants, and needs no parameter.
		fmt.Fprintf(&b, "(%d,$%d,$%d,$%d,$%d,$%d,$%d", r.format, at+1, at+2, at+3, at+4, at+5, at+6)
		args = append(args, r.eventID, r.topic, orNull(r.key), orNull(r.value), r.partitioner, r.attributes)
		if columns == 7 {
			fmt.Fprintf(&b, ",$%d", at+7)
			args = append(args, notBefore)
		}
		b.WriteByte(')')
	}
	_, err := tx.exec(ctx, b.String(), args...)
	return err
}

// orNull returns nil for a nil slice, so that every driver writes NULL rather than
// empty bytes. A nil slice in an interface is not nil, and drivers differ in how they
// write it.
func orNull(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}

// lockKeys locks all keys, in a fixed order. A lock does not depend on the outbox, so
// a key has one order across all outboxes of the database. Two keys that share a
// number by chance only wait for each other.
func lockKeys(ctx context.Context, tx Tx, rows []row) error {
	var locks []int64
	for i := range rows {
		if rows[i].key != nil {
			locks = append(locks, lockOf("eventbus key", rows[i].topic, string(rows[i].key)))
		}
	}
	slices.Sort(locks)
	for _, lock := range slices.Compact(locks) {
		if _, err := tx.exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lock); err != nil {
			return err
		}
	}
	return nil
}
