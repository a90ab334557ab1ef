package migration_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	kafkagoafter "github.com/eventbus-go/eventbus/examples/migration/kafkago/after"
	kafkagobefore "github.com/eventbus-go/eventbus/examples/migration/kafkago/before"
	saramaafter "github.com/eventbus-go/eventbus/examples/migration/sarama/after"
	saramabefore "github.com/eventbus-go/eventbus/examples/migration/sarama/before"
	"github.com/eventbus-go/eventbus/examples/migration/shop"
	watermillafter "github.com/eventbus-go/eventbus/examples/migration/watermill/after"
	watermillbefore "github.com/eventbus-go/eventbus/examples/migration/watermill/before"
	"github.com/eventbus-go/eventbus/format"
	"github.com/eventbus-go/eventbus/kafkatest"
)

// group is the consumer group of all clients, that of the guides.
const group = "billing"

// patience bounds every wait for a broker or another program.
const patience = 3 * time.Minute

// client is another client and its service on the bus.
type client struct {
	name  string
	topic *eventbus.Topic[shop.Order]
	real  bool // runs on a real Kafka alone
	// publish writes orders, and consume handles n of them as a member of group, and
	// stops when all those are committed. handled is called for each.
	publish func(t *testing.T, s *scene, orders []shop.Order)
	consume func(t *testing.T, s *scene, n int, handled func(shop.Order))
	// The guide's service on the bus.
	ourPublish func(context.Context, *eventbus.Bus, ...shop.Order) error
	ourConsume func(context.Context, *eventbus.Bus, func(context.Context, shop.Order) error) error
}

var clients = []client{
	{
		name: "kafka-go", topic: kafkagoafter.Orders, ourPublish: kafkagoafter.Publish, ourConsume: kafkagoafter.Consume,
		publish: func(t *testing.T, s *scene, orders []shop.Order) {
			check0(t, kafkagobefore.Publish(deadline(t), s.Brokers(), s.topic, orders...))
		},
		consume: untilCommitted(func(ctx context.Context, s *scene, handle func(context.Context, shop.Order) error) error {
			return kafkagobefore.Consume(ctx, s.Brokers(), s.topic, handle)
		}),
	},
	{
		name: "sarama", topic: saramaafter.Orders, ourPublish: saramaafter.Publish, ourConsume: saramaafter.Consume,
		publish: func(t *testing.T, s *scene, orders []shop.Order) {
			check0(t, saramabefore.Publish(s.Brokers(), s.topic, orders...))
		},
		consume: untilCommitted(func(ctx context.Context, s *scene, handle func(context.Context, shop.Order) error) error {
			return saramabefore.Consume(ctx, s.Brokers(), s.topic, handle)
		}),
	},
	{
		name: "watermill", topic: watermillafter.Orders, ourPublish: watermillafter.Publish, ourConsume: watermillafter.Consume,
		publish: func(t *testing.T, s *scene, orders []shop.Order) {
			check0(t, watermillbefore.Publish(s.Brokers(), s.topic, orders...))
		},
		consume: untilCommitted(func(ctx context.Context, s *scene, handle func(context.Context, shop.Order) error) error {
			return watermillbefore.Consume(ctx, s.Brokers(), s.topic, handle)
		}),
	},
	{
		name: "franz-go", topic: javaOrders, ourPublish: publishAsJava, ourConsume: consumeAsJava,
		publish: franzPublish, consume: untilCommitted(franzConsume),
	},
	{
		name: "Java", real: true, topic: javaOrders, ourPublish: publishAsJava, ourConsume: consumeAsJava,
		publish: javaPublish, consume: javaConsume,
	},
}

// javaOrders is the topic as Java's clients and franz-go write it.
var javaOrders = eventbus.NewTopic(eventbus.TopicConfig[shop.Order]{
	Address: "orders-{env}",
	Key:     func(o shop.Order) string { return o.ID },
	Format:  format.Plain(format.PlainConfig{}),
})

func publishAsJava(ctx context.Context, bus *eventbus.Bus, orders ...shop.Order) error {
	return eventbus.NewPublisher(bus, javaOrders).PublishBatch(ctx, orders)
}

func consumeAsJava(ctx context.Context, bus *eventbus.Bus, handle func(context.Context, shop.Order) error) error {
	if err := eventbus.Subscribe(bus, javaOrders, handle, eventbus.Group(group)); err != nil {
		return err
	}
	return bus.Run(ctx)
}

// untilCommitted returns a client.consume of a function that consumes until its context
// ends. What comes beyond n waits until then, and fails.
func untilCommitted(consume func(context.Context, *scene, func(context.Context, shop.Order) error) error) func(*testing.T, *scene, int, func(shop.Order)) {
	return func(t *testing.T, s *scene, n int, handled func(shop.Order)) {
		t.Helper()
		goal := s.committed(t) + int64(n)
		ctx, stop := context.WithCancel(deadline(t))
		defer stop()
		left := quota(n)
		done := make(chan error, 1)
		go func() {
			done <- consume(ctx, s, func(_ context.Context, o shop.Order) error {
				if !left.take() {
					<-ctx.Done()
					return ctx.Err()
				}
				handled(o)
				return nil
			})
		}()
		s.await(t, done, func() bool { return s.committed(t) == goal })
		stop()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	}
}

// quota returns how many may still be handled.
func quota(n int) *counter { return &counter{left: n} }

type counter struct {
	mu   sync.Mutex
	left int
}

func (c *counter) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left--
	return c.left >= 0
}

func check0(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// deadline is the test's context with an end.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// realKafka reports whether the brokers are named, and not in the process.
func realKafka() bool { return os.Getenv(kafkatest.BrokersVariable) != "" }
