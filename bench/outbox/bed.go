package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// order is the event, the same for every system: about 230 bytes of JSON.
type order struct {
	ID   string `json:"id"`
	At   int64  `json:"at"` // Unix time in nanoseconds; in follow, before the transaction begins
	Note string `json:"note"`
}

// note pads an order to the size of a usual event.
var note = strings.Repeat("n", 180)

// partitions is the number of partitions of every topic.
const partitions = 6

// topicOf declares the topic with a name. It has a key, because keeping the order of
// keys is part of the work that is measured.
func topicOf(name string) *eventbus.Topic[order] {
	return eventbus.NewTopic(eventbus.TopicConfig[order]{
		Domain: "outbox", Name: name, Unversioned: true, Partitions: partitions, Key: func(o order) string { return o.ID },
	})
}

// environment is the first part of the topics' names.
const environment = "bench"

// bed holds both servers' clients and the systems that are measured on them.
type bed struct {
	flags   flags
	pool    *pgxpool.Pool
	bus     *eventbus.Bus
	admin   *kafka.Admin
	brokers []string
	// systems[0] is this library's outbox with its defaults: all others are compared with
	// it. The last one is the peer.
	systems []system
}

// system is an outbox with its relay. After prepare, the other methods may be called
// concurrently.
type system interface {
	name() string
	// prepare creates empty tables and an empty topic, and returns the topic's name.
	prepare(ctx context.Context) (topic string, err error)
	// publish writes events to the outbox within a transaction.
	publish(ctx context.Context, tx pgx.Tx, events ...order) error
	// relay sends committed events to Kafka until ctx ends, and then returns nil.
	relay(ctx context.Context) error
	// sent returns how many events the relay has recorded as acknowledged by Kafka.
	sent(ctx context.Context) (int64, error)
}

// newBed connects to PostgreSQL, replaces the schema bench_outbox, and makes the clients
// of Kafka, which connect when they are used. The caller closes the bed. Topics that are
// created later stay in Kafka.
func newBed(ctx context.Context, f flags) (*bed, error) {
	config, err := pgxpool.ParseConfig(f.database)
	if err != nil {
		return nil, err
	}
	// One connection per writer, and some for the relay and for polling: no figure must
	// include a wait for the pool.
	config.MaxConns = int32(f.writers) + 20 //nolint:gosec // a few
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	b := &bed{flags: f, pool: pool, brokers: strings.Split(f.brokers, ",")}
	if err := b.exec(ctx, `DROP SCHEMA IF EXISTS bench_outbox CASCADE`, `CREATE SCHEMA bench_outbox`); err != nil {
		return nil, err
	}
	// The peer has no logs, traces and metrics either.
	to := kafka.New(kafka.Config{Brokers: b.brokers})
	b.admin = kafka.NewAdmin(to)
	b.bus, err = eventbus.New(to, eventbus.Config{
		Service: "bench", Environment: environment, Logger: slog.New(slog.DiscardHandler),
		TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider(),
	})
	if err != nil {
		return nil, err
	}
	// They take their turns, and appear in the tables, in this order.
	b.systems = []system{&eventbusOutbox{bed: b}, &eventbusOutbox{bed: b, unfenced: true}, &watermillOutbox{bed: b}}
	return b, nil
}

// close closes the bus and the pool. It ignores errors, which change no figure.
func (b *bed) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = b.bus.Close(ctx)
	b.pool.Close()
}

// describe returns the conditions under which the figures hold. fsync is among them,
// because a commit that does not wait for the disk costs much less.
func (b *bed) describe() string {
	var version, fsync string
	// The line lacks both if the query fails, which is no reason not to measure.
	_ = b.pool.QueryRow(context.Background(), `SELECT version(), current_setting('fsync')`).Scan(&version, &fsync)
	// The platform and the compiler follow.
	version, _, _ = strings.Cut(version, " on ")
	return fmt.Sprintf("%s, fsync=%s; Apache Kafka at %s; %s, %d cores, %s", version, fsync, b.flags.brokers, runtime.Version(), runtime.NumCPU(), time.Now().UTC().Format(time.DateOnly))
}

// exec executes statements in order, each in its own transaction, and stops at the first
// error.
func (b *bed) exec(ctx context.Context, statements ...string) error {
	for _, s := range statements {
		if _, err := b.pool.Exec(ctx, s); err != nil {
			return fmt.Errorf("%.80s: %w", s, err)
		}
	}
	return nil
}

// topics counts the topics of this process, so that each has another name.
var topics int

// topic creates an empty topic, and returns its declaration and its full name.
func (b *bed) topic(ctx context.Context, name string) (*eventbus.Topic[order], string, error) {
	// The time keeps the topics of several runs on one Kafka apart.
	topics++
	t := topicOf(fmt.Sprintf("%s-%d-%d", name, time.Now().UnixMilli(), topics))
	// Brokers that create topics automatically would choose the number of partitions.
	full := t.In(environment)
	return t, full, b.admin.CreateTopics(ctx, transport.TopicSpec{Name: full, Partitions: partitions})
}

// fill writes a backlog of n events into the system's outbox.
func (b *bed) fill(ctx context.Context, s system, n int) error {
	// Filling is not measured, so its transactions may be large.
	const chunk = 1000
	for from := 0; from < n; from += chunk {
		events := make([]order, min(chunk, n-from))
		for i := range events {
			// Keys repeat, so that the relay has an order to keep.
			events[i] = order{ID: fmt.Sprint("k", (from+i)%5000), At: time.Now().UnixNano(), Note: note}
		}
		// The transactions are sequential, so that ids and commits have the same order.
		if err := pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error { return s.publish(ctx, tx, events...) }); err != nil {
			return err
		}
	}
	return nil
}

// relaying runs do while the system's relay runs, and cancels do's context if the relay
// fails. The relay has stopped when relaying returns, so that it takes no processor time
// from the next turn.
func relaying(ctx context.Context, s system, do func(context.Context) error) error {
	running, stop := context.WithCancel(ctx)
	doing, giveUp := context.WithCancel(ctx)
	defer giveUp()
	ended := make(chan error, 1)
	go func() {
		err := s.relay(running)
		// Without a relay, do would wait until its limit, up to an hour.
		if err != nil {
			giveUp()
		}
		ended <- err
	}()
	err := do(doing)
	stop()
	if failed := <-ended; failed != nil {
		// The relay's error comes first, since that of do usually follows from it.
		err = errors.Join(fmt.Errorf("relay of %s: %w", s.name(), failed), err)
	}
	return err
}
