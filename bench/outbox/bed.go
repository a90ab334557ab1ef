package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

// order is the event, the same for every system: some 250 bytes of JSON.
type order struct {
	ID   string `json:"id"`
	At   int64  `json:"at"` // nanoseconds since 1970, before the transaction begins
	Note string `json:"note"`
}

var note = strings.Repeat("n", 180)

// partitions of every topic.
const partitions = 6

// topicOf declares a topic of its own for every system.
func topicOf(name string) *eventbus.Topic[order] {
	return eventbus.NewTopic(eventbus.TopicConfig[order]{
		Domain: "outbox", Name: name, Unversioned: true, Partitions: partitions, Key: func(o order) string { return o.ID },
	})
}

const environment = "bench"

// bed is where everything is measured.
type bed struct {
	flags   flags
	pool    *pgxpool.Pool
	bus     *eventbus.Bus
	admin   *kafka.Admin
	brokers []string
	systems []system
}

// system is an outbox with its relay.
type system interface {
	name() string
	// prepare gives it empty tables, and an empty topic, which it returns.
	prepare(ctx context.Context) (topic string, err error)
	// publish writes events in a transaction.
	publish(ctx context.Context, tx pgx.Tx, events ...order) error
	// relay sends what is written to Kafka until ctx ends.
	relay(ctx context.Context) error
	// sent returns how many events Kafka has acknowledged and the relay has noted.
	sent(ctx context.Context) (int64, error)
}

func newBed(ctx context.Context, f flags) (*bed, error) {
	config, err := pgxpool.ParseConfig(f.database)
	if err != nil {
		return nil, err
	}
	config.MaxConns = int32(f.writers) + 20 //nolint:gosec // a few
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	b := &bed{flags: f, pool: pool, brokers: strings.Split(f.brokers, ",")}
	if err := b.exec(ctx, `DROP SCHEMA IF EXISTS bench_outbox CASCADE`, `CREATE SCHEMA bench_outbox`); err != nil {
		return nil, err
	}
	to := kafka.New(kafka.Config{Brokers: b.brokers})
	b.admin = kafka.NewAdmin(to)
	b.bus, err = eventbus.New(to, eventbus.Config{
		Service: "bench", Environment: environment, Logger: slog.New(slog.DiscardHandler),
		TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider(),
	})
	if err != nil {
		return nil, err
	}
	b.systems = []system{&eventbusOutbox{bed: b}, &eventbusOutbox{bed: b, unfenced: true}, &watermillOutbox{bed: b}}
	return b, nil
}

func (b *bed) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = b.bus.Close(ctx)
	b.pool.Close()
}

func (b *bed) describe() string {
	var version, fsync string
	_ = b.pool.QueryRow(context.Background(), `SELECT version(), current_setting('fsync')`).Scan(&version, &fsync)
	return fmt.Sprintf("%s, fsync=%s; Apache Kafka at %s; %s, %d cores, %s", strings.SplitAfterN(version, " on", 2)[0], fsync, b.flags.brokers, runtime.Version(), runtime.NumCPU(), time.Now().UTC().Format(time.DateOnly))
}

func (b *bed) exec(ctx context.Context, statements ...string) error {
	for _, s := range statements {
		if _, err := b.pool.Exec(ctx, s); err != nil {
			return fmt.Errorf("%.80s: %w", s, err)
		}
	}
	return nil
}

var topics int

// topic makes a topic that nothing has been written to.
func (b *bed) topic(ctx context.Context, name string) (*eventbus.Topic[order], string, error) {
	topics++
	t := topicOf(fmt.Sprintf("%s-%d-%d", name, time.Now().UnixMilli(), topics))
	full := t.In(environment)
	return t, full, b.admin.CreateTopics(ctx, transport.TopicSpec{Name: full, Partitions: partitions})
}

// fill writes a backlog of n events.
func (b *bed) fill(ctx context.Context, s system, n int) error {
	const chunk = 1000
	for from := 0; from < n; from += chunk {
		events := make([]order, min(chunk, n-from))
		for i := range events {
			events[i] = order{ID: fmt.Sprint("k", (from+i)%5000), At: time.Now().UnixNano(), Note: note}
		}
		if err := pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error { return s.publish(ctx, tx, events...) }); err != nil {
			return err
		}
	}
	return nil
}

// relaying runs a system's relay while do runs.
func relaying(ctx context.Context, s system, do func(context.Context) error) error {
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.relay(running) }()
	err := do(ctx)
	cancel()
	if relayErr := <-ended; err == nil && relayErr != nil {
		err = fmt.Errorf("relay of %s: %w", s.name(), relayErr)
	}
	return err
}
