// Command orders takes orders over HTTP, writes each with its event in one
// transaction, and bills them by a handler with an inbox. Killed at any moment and
// started again, it ends with books that balance: GET /books.
//
//	scripts/postgres.sh run -- go -C examples run ./orders
//
// It finds its database in EVENTBUS_TEST_POSTGRES or --database, and runs on an
// embedded broker, or on the one of --brokers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/orders/shop"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest/embedded"
	"github.com/eventbus-go/eventbus/postgres/inbox"
	"github.com/eventbus-go/eventbus/postgres/outbox"
	"github.com/eventbus-go/eventbus/transport"
)

func main() {
	database := flag.String("database", os.Getenv("EVENTBUS_TEST_POSTGRES"), "address of the database")
	brokers := flag.String("brokers", "", "addresses of Kafka; without any, a broker runs in this process")
	data := flag.String("data", "", "directory of that broker's log; without one it is kept in memory")
	address := flag.String("listen", "127.0.0.1:8080", "address of the HTTP server")
	flag.Parse()
	// Ctrl-C drains. What a kill interrupts is done after the next start.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	// Without brokers these are replaced by the embedded one's.
	addresses := strings.Split(*brokers, ",")
	if *brokers == "" {
		// With a directory the log outlives a kill, as the database does.
		broker, err := embedded.Start(embedded.Config{Directory: *data})
		if err != nil {
			fail(err)
		}
		defer broker.Close()
		addresses = broker.Brokers()
	}
	if err := run(ctx, *database, kafka.New(kafka.Config{Brokers: addresses}), *address); err != nil {
		fail(err)
	}
}

// fail ends the process. os.Exit runs no deferred calls.
func fail(err error) {
	fmt.Fprintln(os.Stderr, "orders:", err)
	os.Exit(1)
}

// schema is the service's own; outbox and inbox have theirs.
// Invoices have no primary key: a second one of an order is to show in /books, and not
// to be refused.
const schema = `
CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, customer text NOT NULL, cents bigint NOT NULL);
CREATE TABLE IF NOT EXISTS invoices (order_id text NOT NULL, customer text NOT NULL, cents bigint NOT NULL);
CREATE INDEX IF NOT EXISTS invoices_order ON invoices (order_id);`

// run serves until ctx ends.
func run(ctx context.Context, database string, cluster transport.Transport, address string) error {
	if database == "" {
		return errors.New("no database: give --database, or run it by scripts/postgres.sh run --")
	}
	// New does not connect: a database that is away is noticed by prepare.
	pool, err := pgxpool.New(ctx, database)
	if err != nil {
		return err
	}
	defer pool.Close()
	// Before the inbox and the relay are made, which use the tables.
	if err := prepare(ctx, pool); err != nil {
		return err
	}
	bus, err := eventbus.New(cluster, eventbus.Config{Service: "shop", Environment: "Development"})
	if err != nil {
		return err
	}
	handled, err := inbox.New(pool, inbox.Config{})
	if err != nil {
		return err
	}
	// The inbox is around all handlers: it begins the transaction that Bill writes in.
	if err := bus.Use(eventbus.Idempotent(handled)); err != nil {
		return err
	}
	if err := eventbus.Subscribe(bus, shop.OrderPlacedTopic, Bill); err != nil {
		return err
	}
	// After a kill the next process leads at the end of the lease.
	relay, err := outbox.NewRelay(bus, pool, outbox.Config{Lease: 3 * time.Second})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /orders", &Orders{pool: pool, placed: outbox.For(eventbus.NewPublisher(bus, shop.OrderPlacedTopic))})
	mux.HandleFunc("GET /books", func(w http.ResponseWriter, r *http.Request) { books(r.Context(), pool, w) })
	// An address that is in use ends run before any part has begun.
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second}
	// There is room for the errors of all three parts, so that none waits to report.
	parts := make(chan error, 3)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A part that ends, also without an error, ends the others: a service with a part of
	// it missing is restarted as a whole.
	part := func(do func() error) { go func() { err := do(); cancel(); parts <- err }() }
	// Run and the relay end when ctx does, and finish what they have begun.
	part(func() error { return bus.Run(ctx) })
	part(func() error { return relay.Run(ctx) })
	part(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	<-ctx.Done()
	// ctx has ended. Shutdown is called before the errors are received, since it is what
	// ends Serve.
	ending, end := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer end()
	return errors.Join(server.Shutdown(ending), <-parts, <-parts, <-parts)
}

// prepare creates the tables that are missing. It may run at each start.
func prepare(ctx context.Context, pool *pgxpool.Pool) error {
	if _, err := pool.Exec(ctx, schema); err != nil {
		return err
	}
	return errors.Join(outbox.Migrate(ctx, pool, outbox.Table{}), inbox.Migrate(ctx, pool, inbox.Table{}))
}

// books answers how many orders there are, how many invoices, and how many orders
// were invoiced other than once.
func books(ctx context.Context, pool *pgxpool.Pool, w http.ResponseWriter) {
	var orders, invoices, wrong int
	// One statement, so that the three counts are of the same moment.
	err := pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM invoices),
		(SELECT count(*) FROM orders o WHERE (SELECT count(*) FROM invoices i WHERE i.order_id = o.id) <> 1)`).Scan(&orders, &invoices, &wrong)
	if err != nil {
		// The cause is not for clients: it may name the database.
		http.Error(w, "the books can't be read", http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintf(w, "%d orders, %d invoices, %d orders not invoiced exactly once\n", orders, invoices, wrong)
}
