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

// Memory stands for an outbox in unit tests that have neither PostgreSQL nor Kafka:
// what a transaction wrote is published on a bus when it commits, in order, and
// never when it rolls back. Nothing of it survives the process.
type Memory struct {
	bus *eventbus.Bus

	mu        sync.Mutex // held while a commit publishes: commits have one order
	scheduled []scheduledEnvelope
}

type scheduledEnvelope struct {
	due time.Time
	e   *eventbus.Envelope
}

// NewMemory returns a stand-in that publishes on bus.
func NewMemory(bus *eventbus.Bus) *Memory { return &Memory{bus: bus} }

// Begin begins a transaction.
func (m *Memory) Begin() *MemoryTx { return &MemoryTx{of: m} }

// In runs do in a transaction, and commits it if do returns nil. The transaction is
// in do's context as well, where [FromContext] finds it.
func (m *Memory) In(ctx context.Context, do func(ctx context.Context, tx Tx) error) error {
	tx := m.Begin()
	defer tx.Rollback()
	if err := do(carry.With(ctx, tx), tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// Due publishes the scheduled events that are due at a time.
func (m *Memory) Due(ctx context.Context, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	slices.SortStableFunc(m.scheduled, func(a, b scheduledEnvelope) int { return a.due.Compare(b.due) })
	for len(m.scheduled) > 0 && !m.scheduled[0].due.After(at) {
		if err := m.bus.PublishEnvelope(ctx, m.scheduled[0].e); err != nil {
			return err
		}
		m.scheduled = m.scheduled[1:]
	}
	return nil
}

// MemoryTx is a transaction of Memory, a [Tx]. It belongs to one goroutine.
type MemoryTx struct {
	of        *Memory
	over      bool
	written   []*eventbus.Envelope
	scheduled []scheduledEnvelope
	cancelled []string
}

// errTxOver: a transaction was used after its end.
var errTxOver = errors.New("outbox: the transaction is over")

// Commit publishes what the transaction wrote. Unlike a relay it does so before it
// returns, so that a test needs no waiting.
func (t *MemoryTx) Commit(ctx context.Context) error {
	if t.over {
		return errTxOver
	}
	t.over = true
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	t.of.scheduled = slices.DeleteFunc(t.of.scheduled, func(s scheduledEnvelope) bool { return slices.Contains(t.cancelled, s.e.ID) })
	t.of.scheduled = append(t.of.scheduled, t.scheduled...)
	return t.of.bus.PublishEnvelopes(ctx, t.written)
}

// Rollback drops what the transaction wrote; after Commit it does nothing.
func (t *MemoryTx) Rollback() { t.over = true }

func (t *MemoryTx) exec(context.Context, string, ...any) (int64, error) {
	return 0, errors.New("outbox: the in-memory outbox runs no SQL")
}

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

func (t *MemoryTx) cancel(id string) bool {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	before := len(t.scheduled)
	t.scheduled = slices.DeleteFunc(t.scheduled, func(s scheduledEnvelope) bool { return s.e.ID == id })
	found := len(t.scheduled) < before
	for _, s := range t.of.scheduled {
		if s.e.ID == id && !slices.Contains(t.cancelled, id) {
			t.cancelled, found = append(t.cancelled, id), true
		}
	}
	return found
}
