package fxpostgres_test

import (
	"context"
	"fmt"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/fxmodule"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/postgres/fxpostgres"
	"github.com/eventbus-go/eventbus/postgres/inbox"
	"github.com/eventbus-go/eventbus/postgres/outbox"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/fx"
)

// api places orders.
type api struct {
	pool   *pgxpool.Pool
	placed *outbox.Publisher[placed]
}

func (a *api) place(ctx context.Context, id string) error {
	return pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		return a.placed.Publish(ctx, outbox.Pgx(tx), placed{ID: id})
	})
}

// An application writes events with its orders, relays them, and bills each order
// once.
func Example() {
	err := fx.ValidateApp(
		fx.Provide(func() (*pgxpool.Pool, error) { return pgxpool.New(context.Background(), "postgres://localhost/shop") }),
		fx.Supply(kafka.Config{Brokers: []string{"localhost:9092"}}, eventbus.Config{Service: "shop", Environment: "Development"}),
		fxmodule.Module,
		fxpostgres.Module, fxpostgres.Migrate(),
		fxpostgres.Publisher(placedTopic),
		fxpostgres.Idempotent(),
		fxmodule.SubscribeFunc(placedTopic, func(ctx context.Context, p placed) error {
			tx, _ := inbox.FromContext(ctx)
			_, err := tx.Exec(ctx, `INSERT INTO invoices (order_id) VALUES ($1)`, p.ID)
			return err
		}),
		fx.Invoke(func(pool *pgxpool.Pool, placed *outbox.Publisher[placed]) {
			_ = (&api{pool, placed}).place // served over HTTP, say
		}))
	fmt.Println(err)
	// Output: <nil>
}
