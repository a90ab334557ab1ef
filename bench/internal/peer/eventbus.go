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

// The variants of the bus: as a service uses it, through Publisher[T] and Subscribe[T]; with
// encoding/json in place of its own codec; and with 256 concurrent handlers in place of the
// default 64, for slow ones.
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

// eventbusTopic declares the topic of the settings. In the environment of newBus its name
// is that of Settings.Topic, which the other clients use.
func eventbusTopic(s Settings, codec eventbus.Codec) *eventbus.Topic[event.Order] {
	return eventbus.NewTopic(eventbus.TopicConfig[event.Order]{
		Domain: "bench", Name: s.Stem, Unversioned: true, Type: event.Type, Codec: codec,
		Key: func(o event.Order) string { return o.Customer },
	})
}

// newBus returns a bus without telemetry, since the other clients have none either, and with
// the same window for a publisher.
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

// eventbusPublisher publishes through a bus of its own.
type eventbusPublisher struct {
	bus    *eventbus.Bus
	orders *eventbus.Publisher[event.Order]
	// receipts is a ring with the receipts of the last events. next is the place of the next.
	receipts []eventbus.Receipt
	next     int
}

// newEventbusPublisher returns a constructor of publishers with a codec; nil means the
// default codec.
func newEventbusPublisher(codec eventbus.Codec) func(context.Context, Settings) (Publisher, error) {
	return func(_ context.Context, s Settings) (Publisher, error) {
		bus, err := newBus(s)
		if err != nil {
			return nil, err
		}
		// An empty ring would have no place for a receipt.
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

// Enqueue publishes without waiting for the event. It waits for the one that was enqueued
// Window events before, and returns its error. The zero Receipt of an unused place returns
// from Wait at once.
func (p *eventbusPublisher) Enqueue(ctx context.Context, o event.Order) error {
	place := &p.receipts[p.next]
	if _, err := place.Wait(ctx); err != nil {
		return err
	}
	// The event before in this place is acknowledged, so its receipt is no longer needed.
	*place = p.orders.PublishAsync(ctx, o)
	p.next = (p.next + 1) % len(p.receipts)
	return nil
}

// Flush waits for all receipts in the ring, and returns the first error.
func (p *eventbusPublisher) Flush(ctx context.Context) error {
	for i := range p.receipts {
		if _, err := p.receipts[i].Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Close flushes and closes the bus.
func (p *eventbusPublisher) Close(ctx context.Context) error { return p.bus.Close(ctx) }

// eventbusConsumer handles events through a subscription.
type eventbusConsumer struct{ bus *eventbus.Bus }

// newEventbusConsumer returns a constructor of consumers with a codec, nil for the default
// one, and options of the subscription.
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
		// The bus joins the group only here, so no event is handled before.
		if err == nil {
			err = bus.Start(ctx)
		}
		if err != nil {
			return nil, errors.Join(err, bus.Close(ctx))
		}
		return &eventbusConsumer{bus}, nil
	}
}

// Close closes the bus, which finishes running handlers, commits and leaves the group.
func (c *eventbusConsumer) Close(ctx context.Context) error { return c.bus.Close(ctx) }

// plainJSON is a codec that only uses encoding/json, for a comparison that codecs do not
// decide. Encode copies the result of json.Marshal, as any such codec has to.
type plainJSON struct{}

func (plainJSON) ContentType() string { return event.ContentType }

func (plainJSON) Encode(_ context.Context, dst []byte, _ *eventbus.Envelope, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	return append(dst, data...), err
}

func (plainJSON) Decode(_ context.Context, e *eventbus.Envelope, v any) error {
	return json.Unmarshal(e.Data, v)
}
