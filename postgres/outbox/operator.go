package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ParkedEvent is an event that a relay holds back because Kafka refused it, or an
// earlier event of its key.
type ParkedEvent struct {
	Relay    string             `json:"relay"`
	ID       int64              `json:"id"` // of the row
	EventID  string             `json:"eventId"`
	Topic    string             `json:"topic"`
	Key      []byte             `json:"key"` // nil if there is none
	Created  time.Time          `json:"created"`
	Parked   time.Time          `json:"parked"`
	Error    string             `json:"error,omitempty"` // empty if it only waits behind another event
	Attempts int                `json:"attempts"`
	Event    *eventbus.Envelope `json:"-"` // nil if the row can't be read
}

// ErrNotParked means that no parked event has the given id.
var ErrNotParked = errors.New("no parked event has this id")

// ListParked returns the events that the relays of an outbox hold back, oldest first.
func ListParked(ctx context.Context, pool *pgxpool.Pool, table Table, limit int) ([]ParkedEvent, error) {
	return queryParked(ctx, pool, table, `ORDER BY id, relay LIMIT $1`, limit)
}

// FindParked returns the event that a relay holds back under an id. The error wraps
// ErrNotParked if there is none.
func FindParked(ctx context.Context, pool *pgxpool.Pool, table Table, relay string, id int64) (ParkedEvent, error) {
	events, err := queryParked(ctx, pool, table, `WHERE relay = $1 AND id = $2`, relay, id)
	if err == nil && len(events) == 0 {
		err = fmt.Errorf("outbox: event %d of relay %q: %w", id, relay, ErrNotParked)
	}
	if err != nil {
		return ParkedEvent{}, err
	}
	return events[0], nil
}

// queryParked returns the parked events that the end of a query chooses.
func queryParked(ctx context.Context, pool *pgxpool.Pool, table Table, which string, args ...any) ([]ParkedEvent, error) {
	n, err := table.names()
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	found, err := pool.Query(ctx, n.sql(`SELECT relay, created_at, parked_at, coalesce(error, ''), attempts, `+columns+`
		FROM {parked} `+which), args...)
	if err != nil {
		return nil, fmt.Errorf("outbox: parked events of %s: %w", n.bare, err)
	}
	events, err := pgx.CollectRows(found, func(found pgx.CollectableRow) (p ParkedEvent, err error) {
		var x row
		if err := found.Scan(&p.Relay, &p.Created, &p.Parked, &p.Error, &p.Attempts,
			&x.id, &x.format, &x.eventID, &x.topic, &x.key, &x.value, &x.partitioner, &x.attributes, &x.table); err != nil {
			return p, err
		}
		p.ID, p.EventID, p.Topic, p.Key = x.id, x.eventID, x.topic, x.key
		// An unreadable row is listed too: it may be the one to skip.
		p.Event, _ = x.envelope()
		return p, nil
	})
	if err != nil {
		return nil, fmt.Errorf("outbox: parked events of %s: %w", n.bare, err)
	}
	return events, nil
}

// RetryParked makes the relay retry the key of a parked event within a second, from the
// key's first event on.
func RetryParked(ctx context.Context, pool *pgxpool.Pool, table Table, relay string, id int64) error {
	return changeParked(ctx, pool, table, relay, id, "retry", false)
}

// SkipParked drops a parked event: it is never published. Its key continues with the
// next event.
func SkipParked(ctx context.Context, pool *pgxpool.Pool, table Table, relay string, id int64) error {
	return changeParked(ctx, pool, table, relay, id, "skip", true)
}

// changeParked makes the key of a parked event due, and before that drops the event if
// drop is set. op is the operation's name in errors.
func changeParked(ctx context.Context, pool *pgxpool.Pool, table Table, relay string, id int64, op string, drop bool) error {
	n, err := table.names()
	if err == nil {
		err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			var topic string
			var key []byte
			// The row is locked, since the relay may be about to delete it as sent.
			err := tx.QueryRow(ctx, n.sql(`SELECT topic, key FROM {parked} WHERE relay = $1 AND id = $2 FOR UPDATE`), relay, id).Scan(&topic, &key)
			if errors.Is(err, pgx.ErrNoRows) {
				return ErrNotParked
			}
			if err != nil {
				return err
			}
			// A dropped event without a key held nothing back, so nothing becomes due.
			if drop {
				if _, err := tx.Exec(ctx, n.sql(`DELETE FROM {parked} WHERE relay = $1 AND id = $2`), relay, id); err != nil || key == nil {
					return err
				}
			}
			// The key's first event becomes due, which may be the event itself.
			_, err = tx.Exec(ctx, n.sql(`UPDATE {parked} SET next_at = clock_timestamp() WHERE relay = $1 AND id = (
				SELECT id FROM {parked} WHERE relay = $1 AND topic = $2 AND key IS NOT DISTINCT FROM $3 AND ($3::bytea IS NOT NULL OR id = $4) ORDER BY id LIMIT 1)`), relay, topic, key, id)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("outbox: %s event %d of relay %q: %w", op, id, relay, err)
	}
	return nil
}
