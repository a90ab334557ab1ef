package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/postgres/outbox"
	"github.com/eventbus-go/eventbus/transport/memory"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

type orderPlaced struct {
	OrderID string `json:"orderId" eventbus:"key"`
}

var orderPlacedTopic = eventbus.NewTopic(eventbus.TopicConfig[orderPlaced]{Domain: "shop", Name: "order", Plural: true})

// exampleBus returns a bus without Kafka, whose handler prints the events. end waits
// for a number of them.
func exampleBus() (bus *eventbus.Bus, placed *outbox.Publisher[orderPlaced], end func(events int)) {
	bus, err := eventbus.New(memory.New(), eventbus.Config{Service: "shop", Environment: "Development", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	handled := make(chan struct{})
	err = eventbus.Subscribe(bus, orderPlacedTopic, func(_ context.Context, o orderPlaced) error {
		fmt.Println("placed:", o.OrderID)
		handled <- struct{}{}
		return nil
	})
	placed = outbox.For(eventbus.NewPublisher(bus, orderPlacedTopic))
	if err = errors.Join(err, bus.Start(context.Background())); err != nil {
		panic(err)
	}
	return bus, placed, func(events int) {
		for range events {
			<-handled
		}
		if err := bus.Close(context.Background()); err != nil {
			fmt.Println(err)
		}
	}
}

// An order and its event are written in one transaction, and a relay publishes what has
// committed.
func Example() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://localhost/shop")
	if err != nil {
		panic(err)
	}
	defer pool.Close()
	if err := outbox.Migrate(ctx, pool, outbox.Table{}); err != nil {
		panic(err)
	}
	bus, err := eventbus.New(kafka.New(kafka.Config{Brokers: []string{"localhost:9092"}}), eventbus.Config{Service: "shop", Environment: "Development"})
	if err != nil {
		panic(err)
	}
	placed := outbox.For(eventbus.NewPublisher(bus, orderPlacedTopic))
	relay, err := outbox.NewRelay(bus, pool, outbox.Config{})
	if err != nil {
		panic(err)
	}
	go func() { fmt.Println(relay.Run(ctx)) }() // until ctx ends

	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO orders (id) VALUES ($1)`, "o-1"); err != nil {
			return err
		}
		return placed.Publish(ctx, outbox.Pgx(tx), orderPlaced{OrderID: "o-1"})
	})
	if err != nil {
		panic(err)
	}
	relay.Wake() // at once, rather than at its next look
}

// With database/sql, any PostgreSQL driver works.
func ExampleSQL() {
	place := func(ctx context.Context, db *sql.DB, placed *outbox.Publisher[orderPlaced]) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		if _, err := tx.ExecContext(ctx, `INSERT INTO orders (id) VALUES ($1)`, "o-1"); err != nil {
			return err
		}
		if err := placed.Publish(ctx, outbox.SQL(tx), orderPlaced{OrderID: "o-1"}); err != nil {
			return err
		}
		return tx.Commit()
	}
	_ = place
}

// A unit test needs neither PostgreSQL nor Kafka: what commits is published, and what
// rolls back is not.
func ExampleMemory() {
	bus, placed, end := exampleBus()
	database := outbox.NewMemory(bus)
	place := func(id string, stock error) {
		err := database.In(context.Background(), func(ctx context.Context, tx outbox.Tx) error {
			if err := placed.Publish(ctx, tx, orderPlaced{OrderID: id}); err != nil {
				return err
			}
			return stock
		})
		fmt.Println(id, err)
	}
	place("o-1", errors.New("out of stock"))
	place("o-2", nil)
	end(1)
	// Unordered output:
	// o-1 out of stock
	// o-2 <nil>
	// placed: o-2
}

// A reminder is written with the order, and withdrawn with its payment.
func ExampleCancel() {
	bus, placed, end := exampleBus()
	ctx, database := context.Background(), outbox.NewMemory(bus)
	tomorrow := time.Now().Add(24 * time.Hour)
	err := database.In(ctx, func(ctx context.Context, tx outbox.Tx) error {
		later := placed.With(outbox.NotBefore(tomorrow))
		return errors.Join(
			later.Publish(ctx, tx, orderPlaced{OrderID: "o-1"}, eventbus.WithID("reminder-1")),
			later.Publish(ctx, tx, orderPlaced{OrderID: "o-2"}, eventbus.WithID("reminder-2")))
	})
	if err != nil {
		panic(err)
	}
	err = database.In(ctx, func(ctx context.Context, tx outbox.Tx) error {
		withdrawn, err := outbox.Cancel(ctx, tx, outbox.Table{}, "reminder-1")
		fmt.Println("withdrawn:", withdrawn)
		return err
	})
	if err != nil {
		panic(err)
	}
	if err := database.Due(ctx, tomorrow); err != nil { // the time has come
		panic(err)
	}
	end(1)
	// Output:
	// withdrawn: true
	// placed: o-2
}

// Events that a handler publishes in the transaction of its inbox commit with the
// inbox. Package inbox puts the transaction into the context.
func ExampleFromContext() {
	var billed *outbox.Publisher[orderPlaced]
	handler := func(ctx context.Context, o orderPlaced) error {
		tx, ok := outbox.FromContext(ctx)
		if !ok {
			return errors.New("the subscription has no inbox")
		}
		return billed.Publish(ctx, tx, o)
	}
	fmt.Println(handler(context.Background(), orderPlaced{OrderID: "o-1"}))
	// Output: the subscription has no inbox
}

// Grants returns the privileges that a service and a separate relay need, for a
// migration.
func ExampleGrants() {
	grants, err := outbox.Grants(outbox.Table{Schema: "shop"}, "shop_api", "shop_relay")
	fmt.Print(grants)
	fmt.Println(err)
	// Output:
	// GRANT USAGE ON SCHEMA "shop" TO "shop_api";
	// GRANT INSERT ON "shop"."outbox" TO "shop_api";
	// GRANT SELECT, INSERT, DELETE ON "shop"."outbox_scheduled" TO "shop_api";
	// GRANT USAGE ON SCHEMA "shop" TO "shop_relay";
	// GRANT SELECT, INSERT, UPDATE, DELETE ON "shop"."outbox", "shop"."outbox_relay", "shop"."outbox_run", "shop"."outbox_parked", "shop"."outbox_scheduled" TO "shop_relay";
	// GRANT SELECT ON "shop"."outbox_version" TO "shop_relay";
	// <nil>
}
