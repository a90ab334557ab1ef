package outbox

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/postgres/internal/carry"
)

// Memory stands in for an outbox in unit tests without PostgreSQL and Kafka: it
// publishes the events of a transaction on a bus when the transaction commits, in
// order, and never if it rolls back. Nothing survives the process.
type Memory struct {
	bus *eventbus.Bus

	// mu guards scheduled, the committed events that are not due yet.
	mu        sync.Mutex // held while a commit publishes: commits have one order
	scheduled []scheduledEnvelope
}

// scheduledEnvelope is an event that NotBefore holds back until due.
type scheduledEnvelope struct {
	due time.Time
	e   *eventbus.Envelope
}

// NewMemory returns a stand-in that publishes on bus.
func NewMemory(bus *eventbus.Bus) *Memory { return &Memory{bus: bus} }

// Begin begins a transaction.
func (m *Memory) Begin() *MemoryTx { return &MemoryTx{of: m} }

// In runs do in a transaction and commits it if do returns nil. [FromContext] finds the
// transaction in do's context.
func (m *Memory) In(ctx context.Context, do func(ctx context.Context, tx Tx) error) error {
	tx := m.Begin()
	// For errors of do, and for panics. After Commit it does nothing.
	defer tx.Rollback()
	if err := do(carry.With(ctx, tx), tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// Due publishes the scheduled events that are due at a given time.
func (m *Memory) Due(ctx context.Context, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	// Events with the same time stay in commit order, as they would in the table.
	slices.SortStableFunc(m.scheduled, func(a, b scheduledEnvelope) int { return a.due.Compare(b.due) })
	for len(m.scheduled) > 0 && !m.scheduled[0].due.After(at) {
		if err := m.bus.PublishEnvelope(ctx, m.scheduled[0].e); err != nil {
			return err
		}
		// An event is removed only once it is published, so that another call can
		// retry after an error.
		m.scheduled = m.scheduled[1:]
	}
	return nil
}

// MemoryTx is a transaction of Memory, a [Tx]. It belongs to one goroutine. Everything
// takes effect at Commit: events written, events scheduled, and events of earlier
// transactions cancelled.
type MemoryTx struct {
	of        *Memory
	over      bool
	written   []*eventbus.Envelope
	scheduled []scheduledEnvelope
	cancelled []string
}

// errTxOver means that a transaction was used after its end.
var errTxOver = errors.New("outbox: the transaction is over")

// Commit publishes what the transaction wrote. Unlike a relay, it does so before it
// returns, so a test need not wait.
func (t *MemoryTx) Commit(ctx context.Context) error {
	if t.over {
		return errTxOver
	}
	// Even if publishing fails, there is no second Commit.
	t.over = true
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	// Cancelled events are removed before new ones are added, so that an id can be
	// cancelled and scheduled again in one transaction.
	t.of.scheduled = slices.DeleteFunc(t.of.scheduled, func(s scheduledEnvelope) bool { return slices.Contains(t.cancelled, s.e.ID) })
	t.of.scheduled = append(t.of.scheduled, t.scheduled...)
	return t.of.bus.PublishEnvelopes(ctx, t.written)
}

// Rollback drops what the transaction wrote. After Commit it does nothing.
func (t *MemoryTx) Rollback() { t.over = true }

// exec implements Tx. It always fails: Publish and Cancel recognize a MemoryTx before
// they run SQL.
func (t *MemoryTx) exec(context.Context, string, ...any) (int64, error) {
	return 0, errors.New("outbox: the in-memory outbox runs no SQL")
}

// write keeps envelopes until Commit. KeyLock has no effect: commits are in one order
// anyway.
func (t *MemoryTx) write(envelopes []*eventbus.Envelope, s settings) error {
	if t.over {
		return errTxOver
	}
	for _, e := range envelopes {
		if s.notBefore.IsZero() {
			t.written = append(t.written, e)
		} else {
			t.scheduled = append(t.scheduled, scheduledEnvelope{s.notBefore, e})
		}
	}
	return nil
}

// cancel withdraws a scheduled event: one of this transaction at once, one of an
// earlier transaction at Commit. It reports whether there was one.
func (t *MemoryTx) cancel(id string) bool {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	before := len(t.scheduled)
	t.scheduled = slices.DeleteFunc(t.scheduled, func(s scheduledEnvelope) bool { return s.e.ID == id })
	found := len(t.scheduled) < before
	// An event is found only once, like a row that was deleted.
	for _, s := range t.of.scheduled {
		if s.e.ID == id && !slices.Contains(t.cancelled, id) {
			t.cancelled, found = append(t.cancelled, id), true
		}
	}
	return found
}
