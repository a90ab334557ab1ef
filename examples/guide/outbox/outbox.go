// Package outbox is an outbox on a database that eventbus has none for, by public API
// alone.
package outbox

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/eventbus-go/eventbus"
)

// Row is one of CREATE TABLE outbox (id BIGINT AUTO_INCREMENT PRIMARY KEY, event BLOB NOT NULL).
type Row struct {
	ID    int64
	Event []byte
}

// Table is that table.
type Table interface {
	Lowest(ctx context.Context, limit int) ([]Row, error) // SELECT id, event FROM outbox ORDER BY id LIMIT ?
	Delete(ctx context.Context, rows []Row) error         // DELETE FROM outbox WHERE id IN (…)
}

// Event is what the caller inserts, in the transaction that makes the event true and
// after it has locked the row of the event's key.
func Event[T any](ctx context.Context, p *eventbus.Publisher[T], event T) ([]byte, error) {
	e, err := p.Envelope(ctx, event)
	if err != nil {
		return nil, err
	}
	return json.Marshal(e)
}

// Relay sends one batch, and reports whether there may be more. One process at a time
// may call it.
func Relay(ctx context.Context, bus *eventbus.Bus, table Table) (more bool, err error) {
	const batch = 500
	rows, err := table.Lowest(ctx, batch)
	if err != nil || len(rows) == 0 {
		return false, err
	}
	events := make([]*eventbus.Envelope, len(rows))
	for i, row := range rows {
		events[i] = new(eventbus.Envelope)
		if err := json.Unmarshal(row.Event, events[i]); err != nil {
			return false, fmt.Errorf("row %d of the outbox: %w", row.ID, err)
		}
	}
	if err := bus.PublishEnvelopes(ctx, events); err != nil {
		return false, err // all of them are sent again, with the ids that they have
	}
	return len(rows) == batch, table.Delete(ctx, rows)
}
