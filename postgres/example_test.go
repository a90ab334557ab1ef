package postgres_test

import (
	"context"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/postgres/inbox"
	"github.com/eventbus-go/eventbus/postgres/outbox"
	"github.com/jackc/pgx/v5/pgxpool"
)

type orderPlaced struct {
	OrderID string `json:"orderId" eventbus:"key"`
}

type orderBilled orderPlaced

var (
	placedTopic = eventbus.NewTopic(eventbus.TopicConfig[orderPlaced]{Domain: "shop", Name: "order", Plural: true})
	billedTopic = eventbus.NewTopic(eventbus.TopicConfig[orderBilled]{Domain: "shop", Name: "invoice", Plural: true})
)

// Effectively once, end to end: a handler's writes, the key of the event that it
// handles and the event that it publishes commit together.
func Example() {
	ctx := context.Background()
	var bus *eventbus.Bus  // from eventbus.New
	var pool *pgxpool.Pool // from pgxpool.New

	in, err := inbox.New(pool, inbox.Config{})
	if err != nil {
		panic(err)
	}
	billed := outbox.For(eventbus.NewPublisher(bus, billedTopic))
	err = eventbus.Subscribe(bus, placedTopic, func(ctx context.Context, o orderPlaced) error {
		tx, _ := inbox.FromContext(ctx)
		if _, err := tx.Exec(ctx, `INSERT INTO invoices (order_id) VALUES ($1)`, o.OrderID); err != nil {
			return err
		}
		return billed.Publish(ctx, outbox.Pgx(tx), orderBilled(o))
	}, eventbus.Use(eventbus.Idempotent(in)))
	if err != nil {
		panic(err)
	}
	relay, err := outbox.NewRelay(bus, pool, outbox.Config{})
	if err != nil {
		panic(err)
	}
	go func() { _ = relay.Run(ctx) }()
}
