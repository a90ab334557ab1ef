package migration_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/components/cqrs"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/migration/shop"
	"github.com/eventbus-go/eventbus/format"
	"github.com/eventbus-go/eventbus/kafkatest"
)

// preset declares a topic of another program's.
func preset(f eventbus.Format, typ string, p eventbus.Partitioner) *client {
	return &client{topic: eventbus.NewTopic(eventbus.TopicConfig[shop.Order]{
		Address: "orders-{env}", Key: func(o shop.Order) string { return o.ID }, Format: f, Type: typ, Partitioner: p,
	})}
}

// handling starts a bus that handles a preset's topic, and returns it with the envelopes.
func handling(t *testing.T, s *scene, c *client) (*eventbus.Bus, <-chan *eventbus.Envelope) {
	t.Helper()
	seen := make(chan *eventbus.Envelope, 16)
	return s.Start(t, eventbus.On(c.topic, func(ctx context.Context, _ shop.Order) error {
		e, _ := eventbus.EnvelopeFrom(ctx)
		seen <- e.Clone()
		return nil
	})), seen
}

// TestPresetWatermill exchanges events with Watermill's CQRS event bus and processor.
func TestPresetWatermill(t *testing.T) {
	marshaler := cqrs.JSONMarshaler{GenerateName: cqrs.StructName}
	c := preset(format.Watermill(), marshaler.Name(shop.Order{}), eventbus.FNV1a())
	s := newScene(t, c)
	bus, seen := handling(t, s, c)

	publisher, err := kafka.NewPublisher(kafka.PublisherConfig{Brokers: s.Brokers(), Marshaler: kafka.DefaultMarshaler{}}, watermill.NopLogger{})
	check0(t, err)
	events, err := cqrs.NewEventBusWithConfig(publisher, cqrs.EventBusConfig{
		GeneratePublishTopic: func(cqrs.GenerateEventPublishTopicParams) (string, error) { return s.topic, nil }, Marshaler: marshaler,
	})
	check0(t, err)
	check0(t, events.Publish(deadline(t), shop.Order{ID: "o-1", Total: 1}))
	check0(t, publisher.Close())
	if e := <-seen; e.Type != "Order" || len(e.ID) != 36 {
		t.Errorf("Watermill's event is %v", e)
	}
	check0(t, eventbus.NewPublisher(bus, c.topic).PublishWith(deadline(t), shop.Order{ID: "o-2", Total: 2}, eventbus.WithHeader("tenant", "t-1")))

	config := kafka.DefaultSaramaSubscriberConfig()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	subscriber, err := kafka.NewSubscriber(kafka.SubscriberConfig{
		Brokers: s.Brokers(), ConsumerGroup: "watermill", Unmarshaler: kafka.DefaultMarshaler{}, OverwriteSaramaConfig: config,
	}, watermill.NopLogger{})
	check0(t, err)
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	check0(t, err)
	processor, err := cqrs.NewEventProcessorWithConfig(router, cqrs.EventProcessorConfig{
		GenerateSubscribeTopic: func(cqrs.EventProcessorGenerateSubscribeTopicParams) (string, error) { return s.topic, nil },
		SubscriberConstructor: func(cqrs.EventProcessorSubscriberConstructorParams) (message.Subscriber, error) {
			return subscriber, nil
		},
		Marshaler: marshaler,
	})
	check0(t, err)
	read := make(chan string, 16)
	check0(t, processor.AddHandlers(cqrs.NewEventHandler("orders", func(ctx context.Context, o *shop.Order) error {
		m := cqrs.OriginalMessageFromCtx(ctx)
		read <- fmt.Sprint(o.ID, " ", o.Total, " ", len(m.UUID), " ", m.Metadata.Get("tenant"))
		return nil
	})))
	ctx, stop := context.WithCancel(deadline(t))
	done := make(chan error, 1)
	go func() { done <- router.Run(ctx) }()
	got := []string{<-read, <-read}
	slices.Sort(got)
	if want := []string{"o-1 1 36 ", "o-2 2 36 t-1"}; !slices.Equal(got, want) {
		t.Errorf("Watermill reads %q, want %q", got, want)
	}
	stop()
	check0(t, <-done)
}

// TestPresetSpring exchanges events with Spring Kafka's JsonSerializer, which names the
// class in the header __TypeId__.
func TestPresetSpring(t *testing.T) {
	java := compiled(t, "spring")
	c := preset(format.Spring(), "shop.OrderPlaced", eventbus.Murmur2())
	s := newScene(t, c)
	bus, seen := handling(t, s, c)
	java.run(t, "shop.OrderPlaced", "write", s.Brokers()[0], s.topic, "3")
	for range 3 {
		if e := <-seen; e.Type != "shop.OrderPlaced" {
			t.Errorf("Spring's event is %v", e)
		}
	}
	s.Settle(t)
	kafkatest.Handled(t, s.Cluster, c.topic, shop.Order{ID: "o-0", Total: 0}, shop.Order{ID: "o-1", Total: 1}, shop.Order{ID: "o-2", Total: 2})
	check0(t, eventbus.NewPublisher(bus, c.topic).Publish(deadline(t), shop.Order{ID: "o-0", Total: 7}))
	lines := strings.Split(strings.TrimSpace(java.run(t, "shop.OrderPlaced", "read", s.Brokers()[0], s.topic, "4")), "\n")
	slices.Sort(lines)
	if want := []string{"o-0 o-0 0", "o-0 o-0 7", "o-1 o-1 1", "o-2 o-2 2"}; !slices.Equal(lines, want) {
		t.Errorf("Spring reads %q, want %q", lines, want)
	}
	onePartitionPerKey(t, s, 4)
}

// TestPresetDebezium reads what Debezium's outbox event router makes of inserts, with
// payloads as text in a JSON string, and expanded.
func TestPresetDebezium(t *testing.T) {
	java := compiled(t, "debezium")
	for expand, config := range map[string]format.DebeziumConfig{"false": {Quoted: true}, "true": {}} {
		t.Run("expand "+expand, func(t *testing.T) {
			c := preset(format.Debezium(config), "OrderPlaced", eventbus.Murmur2())
			s := newScene(t, c)
			_, seen := handling(t, s, c)
			java.run(t, "outbox.Router", s.Brokers()[0], s.topic, expand)
			for range 3 {
				if e := <-seen; e.Type != "OrderPlaced" || !strings.HasPrefix(e.ID, "4d47e190-") || !strings.HasPrefix(string(e.Key), "o-") {
					t.Errorf("Debezium's event is %v with key %s", e, e.Key)
				}
			}
			s.Settle(t)
			kafkatest.Handled(t, s.Cluster, c.topic, shop.Order{ID: "o-0", Total: 0}, shop.Order{ID: "o-1", Total: 1}, shop.Order{ID: "o-2", Total: 2})
		})
	}
}
