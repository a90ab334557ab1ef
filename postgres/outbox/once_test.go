package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/postgres/inbox"
	"github.com/eventbus-go/eventbus/postgres/internal/pgtest"
	"github.com/eventbus-go/eventbus/postgres/outbox"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

type order struct {
	ID     string `json:"id"`
	Amount int64  `json:"amount"`
}

type invoice order

var (
	orderTopic   = eventbus.NewTopic(eventbus.TopicConfig[order]{Domain: "shop", Name: "order", Partitions: 3, Key: func(o order) string { return o.ID }})
	invoiceTopic = eventbus.NewTopic(eventbus.TopicConfig[invoice]{Domain: "shop", Name: "invoice", Partitions: 3, Key: func(i invoice) string { return i.ID }})
)

// TestPromise9EffectivelyOnce turns orders into invoices and invoices into payments,
// each with a handler whose table, inbox and outbox commit together. Meanwhile relay
// and group are repeatedly torn down without a clean stop, and events are sent twice.
// Every order must be invoiced once and paid once.
func TestPromise9EffectivelyOnce(t *testing.T) {
	address := pgtest.Shared(t)
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = 40
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	schema := fmt.Sprintf("once%d_%d", os.Getpid(), time.Now().UnixMilli())
	table := outbox.Table{Schema: schema}
	if err := errors.Join(outbox.Migrate(t.Context(), pool, table), inbox.Migrate(t.Context(), pool, inbox.Table{Schema: schema})); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = pool.Exec(context.Background(), `DROP SCHEMA `+schema+` CASCADE`) })
	if _, err := pool.Exec(t.Context(), `CREATE TABLE `+schema+`.orders (id text, amount bigint); CREATE TABLE `+schema+`.invoices (id text, amount bigint); CREATE TABLE `+schema+`.payments (id text, amount bigint)`); err != nil {
		t.Fatal(err)
	}
	in, err := inbox.New(pool, inbox.Config{Table: inbox.Table{Schema: schema}})
	if err != nil {
		t.Fatal(err)
	}
	cluster := kafkatest.NewBroker(t)
	const orders = 300
	// kafkatest's default policy gives an event up after three attempts.
	patient := eventbus.Retry(resilience.Retry{Initial: 5 * time.Millisecond, Max: 50 * time.Millisecond})

	balanced := func() (o, i, p, di, dp int) {
		err := pool.QueryRow(context.Background(), `SELECT (SELECT count(*) FROM `+schema+`.orders), (SELECT count(*) FROM `+schema+`.invoices), (SELECT count(*) FROM `+schema+`.payments),
			(SELECT count(DISTINCT id) FROM `+schema+`.invoices), (SELECT count(DISTINCT id) FROM `+schema+`.payments)`).Scan(&o, &i, &p, &di, &dp)
		if err != nil {
			t.Error(err)
		}
		return
	}
	// life runs the service once: it starts, handles some events, and is cut off in
	// the middle of its work.
	life := func(lasts time.Duration, events int64, first int) {
		bus := cluster.Bus(t)
		ctx, cancel := context.WithTimeout(t.Context(), lasts)
		defer cancel()
		var begun atomic.Int64
		ordered := outbox.For(eventbus.NewPublisher(bus, orderTopic)).In(table)
		invoiced := outbox.For(eventbus.NewPublisher(bus, invoiceTopic)).In(table)
		if err := bus.Use(eventbus.Idempotent(in)); err != nil {
			t.Fatal(err)
		}
		flaky := func() error {
			if begun.Add(1) == events {
				cancel()
			}
			if rand.IntN(20) == 0 {
				return errors.New("the process dies between two steps")
			}
			return nil
		}
		err := bus.Add(
			eventbus.On(orderTopic, func(ctx context.Context, o order) error {
				tx, _ := inbox.FromContext(ctx)
				if _, err := tx.Exec(ctx, `INSERT INTO `+schema+`.invoices VALUES ($1, $2)`, o.ID, o.Amount); err != nil {
					return err
				}
				if err := flaky(); err != nil {
					return err
				}
				in, _ := outbox.FromContext(ctx)
				return errors.Join(invoiced.Publish(ctx, in, invoice(o)), flaky())
			}, patient),
			eventbus.On(invoiceTopic, func(ctx context.Context, i invoice) error {
				tx, _ := inbox.FromContext(ctx)
				_, err := tx.Exec(ctx, `INSERT INTO `+schema+`.payments VALUES ($1, $2)`, i.ID, i.Amount)
				return errors.Join(err, flaky())
			}, patient))
		if err == nil {
			err = bus.Start(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		for n := first; n < first+orders/5 && first < orders; n++ {
			err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
				o := order{ID: strconv.Itoa(n), Amount: int64(n)}
				if _, err := tx.Exec(t.Context(), `INSERT INTO `+schema+`.orders VALUES ($1, $2)`, o.ID, o.Amount); err != nil {
					return err
				}
				return ordered.Publish(t.Context(), outbox.Pgx(tx), o)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		relay, err := outbox.NewRelay(bus, pool, outbox.Config{Table: table, Batch: 20, DrainTimeout: time.Nanosecond, PollInterval: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if first >= orders {
			go func() {
				defer cancel()
				for tick := time.NewTicker(20 * time.Millisecond); ; {
					select {
					case <-ctx.Done():
						return
					case <-tick.C:
						if _, _, p, _, _ := balanced(); p >= orders {
							return
						}
					}
				}
			}()
		}
		_ = relay.Run(ctx)
		// A predecessor's cursor write may be lost, so its last events are repeated.
		if first < orders {
			if _, err := pool.Exec(t.Context(), `UPDATE `+schema+`.outbox_relay SET expires_at = '-infinity', from_snapshot = (SELECT pg_snapshot_xmin(from_snapshot)::text || ':' || pg_snapshot_xmin(from_snapshot)::text || ':' FROM `+schema+`.outbox_relay)::pg_snapshot`); err != nil {
				t.Fatal(err)
			}
			if _, err := pool.Exec(t.Context(), `UPDATE `+schema+`.outbox SET xid = pg_current_xact_id() WHERE id % 10 = 0`); err != nil { // all of these are sent again
				t.Fatal(err)
			}
		}
		closing, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond) // not enough to drain
		defer cancel()
		_ = bus.Close(closing)
	}
	for n := range 5 {
		life(time.Minute, 60, n*orders/5)
	}
	// The last life ends when there is nothing left to do.
	life(3*time.Minute, math.MaxInt64, orders)
	o, i, p, di, dp := balanced()
	sent := len(kafkatest.Published(t, cluster, orderTopic)) + len(kafkatest.Published(t, cluster, invoiceTopic))
	t.Logf("%d orders, %d invoices, %d payments; %d events in Kafka, %d of them repeated", o, i, p, sent, sent-2*orders)
	if o != orders || i != orders || p != orders || di != orders || dp != orders || sent <= 2*orders {
		t.Errorf("the books don't balance: %d orders, %d invoices (%d different), %d payments (%d different)", o, i, di, p, dp)
	}
}
