package outbox

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// instruments measure a relay. own holds the attributes of all measurements: the table
// and the relay's name.
type instruments struct {
	relay          *Relay
	meter          metric.Meter
	own            metric.MeasurementOption
	published      metric.Int64Counter
	removed        metric.Int64Counter
	batch          metric.Int64Histogram
	pending, leads metric.Int64ObservableGauge
	parked         metric.Int64ObservableGauge
	oldest, pinned metric.Float64ObservableGauge
}

// newInstruments returns the instruments of a relay. Gauges are observed only after
// register.
func newInstruments(r *Relay) *instruments {
	provider := r.config.MeterProvider
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	m := provider.Meter("github.com/eventbus-go/eventbus/postgres/outbox")
	// The attribute set is made once: making it for each measurement would allocate.
	i := &instruments{relay: r, meter: m, own: metric.WithAttributeSet(attribute.NewSet(
		attribute.String("eventbus.outbox.table", r.names.bare), attribute.String("eventbus.outbox.relay", r.config.Name)))}
	i.published = made(m.Int64Counter("eventbus.outbox.published", metric.WithUnit("{event}"), metric.WithDescription("Events that Kafka acknowledged.")))
	i.removed = made(m.Int64Counter("eventbus.outbox.deleted", metric.WithUnit("{event}"), metric.WithDescription("Events deleted from the table after every relay had sent them.")))
	i.batch = made(m.Int64Histogram("eventbus.outbox.batch.size", metric.WithUnit("{event}"), metric.WithDescription("Events sent in one batch."),
		metric.WithExplicitBucketBoundaries(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)))
	i.pending = made(m.Int64ObservableGauge("eventbus.outbox.pending.count", metric.WithUnit("{event}"), metric.WithDescription("Events committed and not sent, up to 100,000.")))
	i.parked = made(m.Int64ObservableGauge("eventbus.outbox.parked.count", metric.WithUnit("{event}"), metric.WithDescription("Events held back because Kafka refused one of their key.")))
	i.leads = made(m.Int64ObservableGauge("eventbus.outbox.leader", metric.WithUnit("1"), metric.WithDescription("1 on the process that leads.")))
	i.oldest = made(m.Float64ObservableGauge("eventbus.outbox.oldest.age", metric.WithUnit("s"), metric.WithDescription("Age of the oldest event that is not sent.")))
	i.pinned = made(m.Float64ObservableGauge("eventbus.outbox.horizon.age", metric.WithUnit("s"), metric.WithDescription("Age of the oldest transaction of the server, by process id: nothing newer is vacuumed.")))
	return i
}

// made returns an instrument and passes its error to OpenTelemetry's handler, since
// metrics must not keep a relay from running.
func made[I any](instrument I, err error) I {
	if err != nil {
		otel.Handle(err)
	}
	return instrument
}

// sent counts the events of a batch that Kafka acknowledged. A batch without any is
// recorded with size zero.
func (i *instruments) sent(ctx context.Context, n int) {
	i.published.Add(ctx, int64(n), i.own.(metric.AddOption))
	i.batch.Record(ctx, int64(n), i.own.(metric.RecordOption))
}

// deleted counts the rows that clean deleted and those of dropped days.
func (i *instruments) deleted(ctx context.Context, n int64) {
	i.removed.Add(ctx, n, i.own.(metric.AddOption))
}

// register makes the gauges observable until the function it returns is called.
func (i *instruments) register() (unregister func()) {
	registration, err := i.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		// The state is copied, so that the lock is not held while the reader's code
		// runs.
		i.relay.mu.Lock()
		state := i.relay.state
		i.relay.mu.Unlock()
		own := i.own.(metric.ObserveOption)
		leads := int64(0)
		if state.leading {
			leads = 1
		}
		o.ObserveInt64(i.leads, leads, own)
		// Only the leader knows the rest. If every process reported it, sums over processes
		// would count events several times.
		if !state.leading || state.status == nil {
			return nil
		}
		x := state.status.Own(i.relay.config.Name)
		o.ObserveInt64(i.pending, x.Pending, own)
		o.ObserveInt64(i.parked, x.Parked, own)
		o.ObserveFloat64(i.oldest, x.OldestAge.Seconds(), own)
		if state.status.Oldest.Age > time.Minute { // only old transactions get the process id as a label
			o.ObserveFloat64(i.pinned, state.status.Oldest.Age.Seconds(), own, metric.WithAttributes(attribute.Int("eventbus.outbox.pid", int(state.status.Oldest.PID))))
		}
		return nil
	}, i.pending, i.parked, i.leads, i.oldest, i.pinned)
	if err != nil {
		otel.Handle(fmt.Errorf("outbox: metrics: %w", err))
		return func() {}
	}
	return func() { _ = registration.Unregister() }
}
