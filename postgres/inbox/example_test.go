package inbox_test

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/postgres/inbox"
	"github.com/jackc/pgx/v5/pgxpool"
)

type orderPlaced struct {
	OrderID string `json:"orderId" eventbus:"key"`
}

var orderPlacedTopic = eventbus.NewTopic(eventbus.TopicConfig[orderPlaced]{Domain: "shop", Name: "order", Plural: true})

// Every handler of the bus runs in the inbox's transaction, and does not get an event
// again that is delivered again.
func Example() {
	ctx := context.Background()
	var bus *eventbus.Bus  // from eventbus.New
	var pool *pgxpool.Pool // from pgxpool.New
	if err := inbox.Migrate(ctx, pool, inbox.Table{}); err != nil {
		panic(err)
	}
	in, err := inbox.New(pool, inbox.Config{})
	if err != nil {
		panic(err)
	}
	go func() { _ = in.Run(ctx) }() // deletes keys that are older than Config.Keep
	if err := bus.Use(eventbus.Idempotent(in)); err != nil {
		panic(err)
	}
	err = eventbus.Subscribe(bus, orderPlacedTopic, func(ctx context.Context, o orderPlaced) error {
		tx, _ := inbox.FromContext(ctx) // it commits when the handler returns nil
		_, err := tx.Exec(ctx, `INSERT INTO invoices (order_id) VALUES ($1)`, o.OrderID)
		return err
	})
	if err != nil {
		panic(err)
	}
}

// With database/sql the handler's transaction is a *sql.Tx.
func ExampleNewSQL() {
	var bus *eventbus.Bus // from eventbus.New
	var db *sql.DB        // from sql.Open
	in, err := inbox.NewSQL(db, inbox.Config{})
	if err != nil {
		panic(err)
	}
	err = eventbus.Subscribe(bus, orderPlacedTopic, func(ctx context.Context, o orderPlaced) error {
		tx, _ := inbox.SQLFromContext(ctx)
		_, err := tx.ExecContext(ctx, `INSERT INTO invoices (order_id) VALUES ($1)`, o.OrderID)
		return err
	}, eventbus.Use(eventbus.Idempotent(in)))
	if err != nil {
		panic(err)
	}
}

// Schema returns the SQL of the table, for your own migrations.
func ExampleSchema() {
	schema, err := inbox.Schema(inbox.Table{Schema: "billing"})
	fmt.Print(schema)
	fmt.Println(err)
	// Output:
	// CREATE SCHEMA IF NOT EXISTS "billing";
	// CREATE TABLE IF NOT EXISTS "billing"."inbox" (
	// 	key text COLLATE "C" PRIMARY KEY,
	// 	at  timestamptz NOT NULL DEFAULT clock_timestamp()
	// );
	// CREATE INDEX IF NOT EXISTS "inbox_at" ON "billing"."inbox" (at);
	// <nil>
}
