package peer

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"

	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/bench/internal/event"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// The bus as a service uses it, through Publisher[T] and Subscribe[T]; with
// encoding/json in place of its own codec; and with more than the default 64
// handlers at once.
// newEventbusPublisher and newEventbusConsumer make constructors, one for each variant.
var (
	eventbusPeer = Peer{
		Name: Eventbus, Module: "github.com/eventbus-go/eventbus", Publishes: true,
		NewPublisher: newEventbusPublisher(nil), NewConsumer: newEventbusConsumer(nil),
	}
	eventbusJSONPeer = Peer{
		Name: EventbusJSON, Module: eventbusPeer.Module, Publishes: true,
		NewPublisher: newEventbusPublisher(plainJSON{}), NewConsumer: newEventbusConsumer(plainJSON{}),
	}
	eventbusWidePeer = Peer{
		Name: EventbusWide, Module: eventbusPeer.Module,
		NewPublisher: newEventbusPublisher(nil), NewConsumer: newEventbusConsumer(nil, eventbus.Concurrency(256)),
	}
)

// eventbusTopic declares the topic under the name that the other clients use.
// With the environment of newBus this is Settings.Topic.
func eventbusTopic(s Settings, codec eventbus.Codec) *eventbus.Topic[event.Order] {
	return eventbus.NewTopic(eventbus.TopicConfig[event.Order]{
		Domain: "bench", Name: s.Stem, Unversioned: true, Type: event.Type, Codec: codec,
		Key: func(o event.Order) string { return o.Customer },
	})
}

// newBus returns a bus without telemetry: the other clients have none either.
// BufferRecords is the window that the other clients have, too.
func newBus(s Settings) (*eventbus.Bus, error) {
	return eventbus.New(kafka.New(kafka.Config{Brokers: s.Brokers, Compression: s.Compression}), eventbus.Config{
		Service: "bench", Environment: "Test", Source: event.SourceURI,
		Producer:       transport.ProducerConfig{BufferRecords: s.Window, BatchBytes: s.BatchBytes},
		FetchBytes:     FetchBytes,
		CommitInterval: CommitInterval,
		Logger:         slog.New(slog.DiscardHandler),
		TracerProvider: trace.TracerProvider(tracenoop.NewTracerProvider()),
		MeterProvider:  metric.MeterProvider(metricnoop.NewMeterProvider()),
	})
}

// eventbusPublisher publishes through the bus, as a service does.
type eventbusPublisher struct {
	bus    *eventbus.Bus
	orders *eventbus.Publisher[event.Order]
	// receipts has those of the last events, as a ring.
	receipts []eventbus.Receipt
	next     int
}

// newEventbusPublisher returns a constructor for a codec; nil is the default one.
func newEventbusPublisher(codec eventbus.Codec) func(context.Context, Settings) (Publisher, error) {
	return func(_ context.Context, s Settings) (Publisher, error) {
		bus, err := newBus(s)
		if err != nil {
			return nil, err
		}
		// The ring has at least one place, or next would have none to go to.
		return &eventbusPublisher{
			bus: bus, orders: eventbus.NewPublisher(bus, eventbusTopic(s, codec)),
			receipts: make([]eventbus.Receipt, max(s.Window, 1)),
		}, nil
	}
}

// Publish waits for the acknowledgement.
func (p *eventbusPublisher) Publish(ctx context.Context, o event.Order) error {
	return p.orders.Publish(ctx, o)
}

// Enqueue looks at each receipt once, when its place in the ring is needed again.
// A place that was not used yet has the zero Receipt, whose Wait returns at once.
func (p *eventbusPublisher) Enqueue(ctx context.Context, o event.Order) error {
	place := &p.receipts[p.next]
	if _, err := place.Wait(ctx); err != nil {
		return err
	}
	// The event that had this place is written, so its receipt may go.
	*place = p.orders.PublishAsync(ctx, o)
	p.next = (p.next + 1) % len(p.receipts)
	return nil
}

// Flush waits for all receipts of the ring. Those waited for already return at
// once.
func (p *eventbusPublisher) Flush(ctx context.Context) error {
	for i := range p.receipts {
		if _, err := p.receipts[i].Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Close flushes and ends the bus.
func (p *eventbusPublisher) Close(ctx context.Context) error { return p.bus.Close(ctx) }

// eventbusConsumer handles events through a subscription.
type eventbusConsumer struct{ bus *eventbus.Bus }

// newEventbusConsumer returns a constructor for a codec and further options.
func newEventbusConsumer(codec eventbus.Codec, options ...eventbus.SubscribeOption) func(context.Context, Settings, Handler) (Consumer, error) {
	return func(ctx context.Context, s Settings, handle Handler) (Consumer, error) {
		bus, err := newBus(s)
		if err != nil {
			return nil, err
		}
		err = eventbus.Subscribe(bus, eventbusTopic(s, codec), func(_ context.Context, o event.Order) error {
			handle(&o)
			return nil
		}, append(options, eventbus.Group(s.Group))...)
		// The bus joins the group here. Until then it has read nothing.
		if err == nil {
			err = bus.Start(ctx)
		}
		if err != nil {
			return nil, errors.Join(err, bus.Close(ctx))
		}
		return &eventbusConsumer{bus}, nil
	}
}

// Close leaves the group and ends the bus.
func (c *eventbusConsumer) Close(ctx context.Context) error { return c.bus.Close(ctx) }

// plainJSON is a codec of encoding/json alone, so that codecs do not decide the
// comparison.
// Encode copies what json.Marshal returns, as any codec around it would have to.
type plainJSON struct{}

func (plainJSON) ContentType() string { return event.ContentType }

func (plainJSON) Encode(_ context.Context, dst []byte, _ *eventbus.Envelope, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	return append(dst, data...), err
}

func (plainJSON) Decode(_ context.Context, e *eventbus.Envelope, v any) error {
	return json.Unmarshal(e.Data, v)
}
