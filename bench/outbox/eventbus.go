package main

import (
	"context"
	"log/slog"

	"github.com/jackc/pgx/v5"
	metricnoop "go.opentelemetry.io/otel/metric/noop"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/postgres/outbox"
)

// eventbusOutbox is package postgres/outbox, with its defaults except for Unfenced.
type eventbusOutbox struct {
	bed      *bed
	unfenced bool
	// publisher is set by prepare, for the topic of the turn.
	publisher *outbox.Publisher[order]
}

// ours is the outbox of both variants, which take turns.
var ours = outbox.Table{Schema: "bench_outbox"}

func (o *eventbusOutbox) name() string {
	if o.unfenced {
		return "eventbus, unfenced"
	}
	return "eventbus"
}

// prepare drops the tables instead of deleting their rows, since dead rows and statistics
// of the previous turn would affect the measurement.
func (o *eventbusOutbox) prepare(ctx context.Context) (string, error) {
	if err := o.bed.exec(ctx, `DROP TABLE IF EXISTS bench_outbox.outbox, bench_outbox.outbox_relay, bench_outbox.outbox_run, bench_outbox.outbox_parked, bench_outbox.outbox_scheduled, bench_outbox.outbox_version CASCADE`); err != nil {
		return "", err
	}
	// Use the package's own migration: its indexes are part of the cost of writing.
	if err := outbox.Migrate(ctx, o.bed.pool, ours); err != nil {
		return "", err
	}
	// Use a new topic for every turn, so that a reader finds only its events.
	topic, name, err := o.bed.topic(ctx, "eventbus")
	o.publisher = outbox.For(eventbus.NewPublisher(o.bed.bus, topic)).In(ours)
	return name, err
}

func (o *eventbusOutbox) publish(ctx context.Context, tx pgx.Tx, events ...order) error {
	// A service publishes a single event by this call.
	if len(events) == 1 {
		return o.publisher.Publish(ctx, outbox.Pgx(tx), events[0])
	}
	return o.publisher.PublishBatch(ctx, outbox.Pgx(tx), events)
}

// relay runs a relay with the default name: the migration has created its cursor, so it
// begins at the first event.
func (o *eventbusOutbox) relay(ctx context.Context) error {
	// Logs and metrics are discarded, as the peer's are.
	r, err := outbox.NewRelay(o.bed.bus, o.bed.pool, outbox.Config{
		Table: ours, Unfenced: o.unfenced, Logger: slog.New(slog.DiscardHandler), MeterProvider: metricnoop.NewMeterProvider(),
	})
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

// sent returns the count that the relay stores together with its cursor.
func (o *eventbusOutbox) sent(ctx context.Context) (n int64, err error) {
	err = o.bed.pool.QueryRow(ctx, `SELECT published FROM bench_outbox.outbox_relay`).Scan(&n)
	return n, err
}
