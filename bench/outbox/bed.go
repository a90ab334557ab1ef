package main

import (
	"context"
	"errors"
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

// note fills an order up to its size.
var note = strings.Repeat("n", 180)

// partitions of every topic.
const partitions = 6

// topicOf declares a topic of its own for every system.
// It has a key, because keeping the order of keys is a part of the work.
func topicOf(name string) *eventbus.Topic[order] {
	return eventbus.NewTopic(eventbus.TopicConfig[order]{
		Domain: "outbox", Name: name, Unversioned: true, Partitions: partitions, Key: func(o order) string { return o.ID },
	})
}

// environment is the first part of the topics' names.
const environment = "bench"

// bed is where everything is measured.
type bed struct {
	// systems[0] is this library's outbox with its defaults: all others are compared with it.
	// The last one is the peer.
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

// newBed connects to both servers and replaces the schema bench_outbox. Topics that
// are made later stay in Kafka.
func newBed(ctx context.Context, f flags) (*bed, error) {
	config, err := pgxpool.ParseConfig(f.database)
	if err != nil {
		return nil, err
	}
	// A connection for each writer, and some for the relays and for looking: a figure must
	// not include a wait for the pool.
	config.MaxConns = int32(f.writers) + 20 //nolint:gosec // a few
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	b := &bed{flags: f, pool: pool, brokers: strings.Split(f.brokers, ",")}
	if err := b.exec(ctx, `DROP SCHEMA IF EXISTS bench_outbox CASCADE`, `CREATE SCHEMA bench_outbox`); err != nil {
		return nil, err
	}
	// Without logs, traces and metrics, like the peer.
	to := kafka.New(kafka.Config{Brokers: b.brokers})
	b.admin = kafka.NewAdmin(to)
	b.bus, err = eventbus.New(to, eventbus.Config{
		Service: "bench", Environment: environment, Logger: slog.New(slog.DiscardHandler),
		TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider(),
	})
	if err != nil {
		return nil, err
	}
	// The order is that of the turns, and of the lines of a table.
	b.systems = []system{&eventbusOutbox{bed: b}, &eventbusOutbox{bed: b, unfenced: true}, &watermillOutbox{bed: b}}
	return b, nil
}

// close ends the bus before the pool that its relays used. Its errors change no figure.
func (b *bed) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = b.bus.Close(ctx)
	b.pool.Close()
}

// describe returns what the figures hold for. It names fsync, because a commit that does
// not wait for the disk costs much less.
func (b *bed) describe() string {
	var version, fsync string
	// Without an answer the line lacks the version, which is no reason not to measure.
	_ = b.pool.QueryRow(context.Background(), `SELECT version(), current_setting('fsync')`).Scan(&version, &fsync)
	// The platform and the compiler follow.
	version, _, _ = strings.Cut(version, " on ")
	return fmt.Sprintf("%s, fsync=%s; Apache Kafka at %s; %s, %d cores, %s", version, fsync, b.flags.brokers, runtime.Version(), runtime.NumCPU(), time.Now().UTC().Format(time.DateOnly))
}

// exec runs statements one after the other, each in a transaction of its own.
func (b *bed) exec(ctx context.Context, statements ...string) error {
	for _, s := range statements {
		if _, err := b.pool.Exec(ctx, s); err != nil {
			return fmt.Errorf("%.80s: %w", s, err)
		}
	}
	return nil
}

// topics counts the topics of this process, so that no two of them have one name.
var topics int

// topic makes a topic that nothing has been written to.
func (b *bed) topic(ctx context.Context, name string) (*eventbus.Topic[order], string, error) {
	// The time keeps the topics of several runs on one Kafka apart.
	topics++
	t := topicOf(fmt.Sprintf("%s-%d-%d", name, time.Now().UnixMilli(), topics))
	// Made before it is used: a topic that Kafka made by itself would have as many partitions
	// as the broker likes.
	full := t.In(environment)
	return t, full, b.admin.CreateTopics(ctx, transport.TopicSpec{Name: full, Partitions: partitions})
}

// fill writes a backlog of n events.
func (b *bed) fill(ctx context.Context, s system, n int) error {
	// Filling is not measured, so its transactions may be large.
	const chunk = 1000
	for from := 0; from < n; from += chunk {
		events := make([]order, min(chunk, n-from))
		for i := range events {
			// Keys come again, so that a relay has an order to keep.
			events[i] = order{ID: fmt.Sprint("k", (from+i)%5000), At: time.Now().UnixNano(), Note: note}
		}
		// One transaction after the other, so that ids and commits have the same order.
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
