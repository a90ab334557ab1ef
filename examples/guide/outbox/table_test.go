package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"

	"github.com/eventbus-go/eventbus/examples/guide/outbox"
)

type paid struct {
	Order string `json:"order"`
	N     int    `json:"n"`
}

var paidTopic = eventbus.NewTopic(eventbus.TopicConfig[paid]{Domain: "shop", Name: "paid", Key: func(p paid) string { return p.Order }})

// table is a table of the test, whose deletes fail when it is told so.
type table struct {
	rows []outbox.Row
	down bool
}

func (t *table) Lowest(_ context.Context, limit int) ([]outbox.Row, error) {
	return slices.Clone(t.rows[:min(limit, len(t.rows))]), nil
}

func (t *table) Delete(_ context.Context, rows []outbox.Row) error {
	if t.down {
		return errors.New("the database is away")
	}
	t.rows = t.rows[len(rows):]
	return nil
}

// TestThirdParty: another database's outbox sends everything in order, what it sends
// twice has one id, and everything of the event arrives.
func TestThirdParty(t *testing.T) {
	cluster := kafkatest.NewMemory(t)
	var ids []string
	var last *eventbus.Envelope
	bus := cluster.Start(t, eventbus.On(paidTopic, func(ctx context.Context, p paid) error {
		last, _ = eventbus.EnvelopeFrom(ctx)
		ids, last = append(ids, last.ID), last.Clone()
		return nil
	}))
	publisher := eventbus.NewPublisher(bus, paidTopic)
	var db table
	for n := range 700 {
		event, err := outbox.Event(t.Context(), publisher, paid{"a", n})
		if err != nil {
			t.Fatal(err)
		}
		db.rows = append(db.rows, outbox.Row{ID: int64(n + 1), Event: event})
	}
	db.down = true
	if _, err := outbox.Relay(t.Context(), bus, &db); err == nil {
		t.Fatal("the rows are still there")
	}
	db.down = false
	for more := true; more; {
		var err error
		if more, err = outbox.Relay(t.Context(), bus, &db); err != nil {
			t.Fatal(err)
		}
	}
	cluster.Settle(t)
	if len(db.rows) != 0 || len(ids) != 1200 || !slices.Equal(ids[:500], ids[500:1000]) {
		t.Fatalf("%d rows left, %d events", len(db.rows), len(ids))
	}
	for i, p := range kafkatest.Published(t, cluster, paidTopic)[500:] {
		if p.N != i {
			t.Fatalf("event %d is %+v", i, p)
		}
	}
	if last.Type == "" || last.Time.IsZero() || last.Source == "" {
		t.Error(fmt.Sprint("incomplete: ", last))
	}
}
