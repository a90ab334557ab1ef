package peer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/eventbus-go/eventbus/bench/internal/event"
)

// watermillPeer is Watermill, a message router, with its Kafka client over sarama.
var watermillPeer = Peer{
	Name: Watermill, Module: "github.com/ThreeDotsLabs/watermill-kafka/v3", Publishes: true,
	NewPublisher: newWatermillPublisher, NewConsumer: newWatermillConsumer,
}

// watermillKey is the name of the metadata from which the marshaler takes the key.
const watermillKey = "key"

// watermillMarshaler sets the key of a record in the way that the library offers.
var watermillMarshaler = kafka.NewWithPartitioningMarshaler(func(_ string, m *message.Message) (string, error) {
	return m.Metadata.Get(watermillKey), nil
})

// watermillConfig changes a configuration of the library as saramaConfig does: acks=all,
// since the default waits for the leader alone, the compression with a protocol that has it,
// the earliest offset, and the commit interval. It returns base.
func watermillConfig(base *sarama.Config, s Settings) *sarama.Config {
	base.Version = sarama.V2_8_0_0
	base.Producer.RequiredAcks = sarama.WaitForAll
	base.Producer.Compression = saramaCompression(s.Compression)
	base.Consumer.Offsets.Initial = sarama.OffsetOldest
	base.Consumer.Offsets.AutoCommit.Interval = CommitInterval
	return base
}

// watermillPublisher publishes synchronously, as the library does. Enqueued events go to
// goroutines that publish them.
type watermillPublisher struct {
	topic     string
	publisher *kafka.Publisher
	// queue has enqueued events, and is nil if callers wait. workers waits for its readers.
	queue   chan event.Order
	workers sync.WaitGroup
	*outcomes
}

// watermillWorkers is the number of goroutines that publish enqueued events. More of them
// gain nothing.
const watermillWorkers = 512

// newWatermillPublisher returns a publisher. It starts workers only if events are enqueued.
func newWatermillPublisher(_ context.Context, s Settings) (Publisher, error) {
	publisher, err := kafka.NewPublisher(kafka.PublisherConfig{
		Brokers: s.Brokers, Marshaler: watermillMarshaler,
		OverwriteSaramaConfig: watermillConfig(kafka.DefaultSaramaSyncPublisherConfig(), s),
	}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	p := &watermillPublisher{topic: s.Topic(), publisher: publisher, outcomes: newOutcomes(s.Window)}
	if s.Publishers > 0 {
		return p, nil
	}
	// The buffer has room for the next event of every worker.
	p.queue = make(chan event.Order, watermillWorkers)
	for range watermillWorkers {
		// A worker publishes one event at a time, so their number bounds the events under way.
		p.workers.Go(func() {
			for o := range p.queue {
				p.end(1, p.publish(o))
			}
		})
	}
	return p, nil
}

// publish publishes an order and waits until it is acknowledged. The marshaler writes all
// metadata and the UUID as headers, so that records have two headers more than with other
// clients.
func (p *watermillPublisher) publish(o event.Order) error {
	data, err := encode(o)
	if err != nil {
		return err
	}
	id, now := event.Attributes()
	// The UUID is the event's id, since making another one would be work that other clients
	// don't have.
	m := message.NewMessage(string(id), data)
	m.Metadata = message.Metadata{
		watermillKey:   o.Customer,
		keySpecVersion: event.SpecVersion,
		keyID:          m.UUID,
		keySource:      event.SourceURI,
		keyType:        event.Type,
		keyTime:        string(now),
		keyContentType: event.ContentType,
	}
	return p.publisher.Publish(p.topic, m)
}

// Publish waits for the acknowledgement.
func (p *watermillPublisher) Publish(_ context.Context, o event.Order) error { return p.publish(o) }

// Enqueue waits for room in the window, and then in the queue.
func (p *watermillPublisher) Enqueue(ctx context.Context, o event.Order) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	// The workers read the queue until Close, so the send does not need ctx.
	p.queue <- o
	return nil
}

// Flush waits for the outcomes of enqueued events.
func (p *watermillPublisher) Flush(ctx context.Context) error { return p.wait(ctx) }

// Close stops the workers, and then closes the publisher that they use.
func (p *watermillPublisher) Close(context.Context) error {
	if p.queue != nil {
		// The workers first publish what is left in the queue.
		close(p.queue)
		p.workers.Wait()
	}
	return p.publisher.Close()
}

// watermillConsumer is a Router with one handler. It uses outcomes only for the first
// failure, since a consumer has no window.
type watermillConsumer struct {
	router     *message.Router
	subscriber *kafka.Subscriber
	running    sync.WaitGroup
	outcomes
}

// newWatermillConsumer starts a router, as the library's documentation shows.
func newWatermillConsumer(ctx context.Context, s Settings, handle Handler) (Consumer, error) {
	subscriber, err := kafka.NewSubscriber(kafka.SubscriberConfig{
		Brokers: s.Brokers, Unmarshaler: watermillMarshaler, ConsumerGroup: s.Group,
		OverwriteSaramaConfig: watermillConfig(kafka.DefaultSaramaSubscriberConfig(), s),
	}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	// A handler that hangs must not keep the process from ending.
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, watermill.NopLogger{})
	if err != nil {
		return nil, errors.Join(err, subscriber.Close())
	}
	c := &watermillConsumer{router: router, subscriber: subscriber}
	router.AddConsumerHandler("bench", s.Topic(), subscriber, func(m *message.Message) error {
		return decode(m.Metadata.Get(keyType), m.Payload, handle)
	})
	// Close stops the router; the end of this call's context does not.
	c.running.Go(func() { c.fail(router.Run(context.WithoutCancel(ctx))) })
	return c, nil
}

// Close stops the router, which waits for its handlers, and leaves the group.
func (c *watermillConsumer) Close(context.Context) error {
	// The subscriber is closed last, since it commits what the handlers acknowledged.
	err := c.router.Close()
	c.running.Wait()
	return errors.Join(err, c.subscriber.Close(), c.firstErr())
}
