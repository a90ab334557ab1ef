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

// watermillPeer is a message router over sarama.
var watermillPeer = Peer{
	Name: Watermill, Module: "github.com/ThreeDotsLabs/watermill-kafka/v3", Publishes: true,
	NewPublisher: newWatermillPublisher, NewConsumer: newWatermillConsumer,
}

// watermillKey is the metadata that the key travels in to the marshaler.
const watermillKey = "key"

// watermillMarshaler takes the key from the metadata, which is how the library sets
// one.
var watermillMarshaler = kafka.NewWithPartitioningMarshaler(func(_ string, m *message.Message) (string, error) {
	return m.Metadata.Get(watermillKey), nil
})

// watermillConfig is the client's own, with acks=all (it waits for the leader
// alone) and a protocol version that has what the compressions need.
func watermillConfig(base *sarama.Config, s Settings) *sarama.Config {
	base.Version = sarama.V2_8_0_0
	base.Producer.RequiredAcks = sarama.WaitForAll
	base.Producer.Compression = saramaCompression(s.Compression)
	base.Consumer.Offsets.Initial = sarama.OffsetOldest
	base.Consumer.Offsets.AutoCommit.Interval = CommitInterval
	return base
}

// watermillPublisher has nothing asynchronous: what is enqueued goes through
// goroutines that publish.
// queue is nil where callers wait. What is in it has its room in outcomes.
type watermillPublisher struct {
	topic     string
	publisher *kafka.Publisher
	queue     chan event.Order
	workers   sync.WaitGroup
	*outcomes
}

// watermillWorkers is how many publish at once where events are enqueued. More
// gain nothing.
const watermillWorkers = 512

// newWatermillPublisher starts the workers only where events are enqueued.
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
	// As many wait as are being published, so that a worker finds the next one there.
	p.queue = make(chan event.Order, watermillWorkers)
	for range watermillWorkers {
		// Each worker waits for its event: the number of workers is what is under way at once.
		p.workers.Go(func() {
			for o := range p.queue {
				p.end(1, p.publish(o))
			}
		})
	}
	return p, nil
}

// publish publishes one order and waits for it.
// The marshaler writes all metadata as headers, and the UUID: two more than others have.
func (p *watermillPublisher) publish(o event.Order) error {
	data, err := encode(o)
	if err != nil {
		return err
	}
	id, now := event.Attributes()
	// The UUID is the event's id: making a second one would be work that others don't do.
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

// Enqueue waits for room, then for a worker.
func (p *watermillPublisher) Enqueue(ctx context.Context, o event.Order) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	// The workers take from it until Close, so this ends.
	p.queue <- o
	return nil
}

// Flush waits for the outcomes of what was enqueued.
func (p *watermillPublisher) Flush(ctx context.Context) error { return p.wait(ctx) }

// Close ends the workers before the publisher that they use.
func (p *watermillPublisher) Close(context.Context) error {
	if p.queue != nil {
		// The workers end when they have published what is left in it.
		close(p.queue)
		p.workers.Wait()
	}
	return p.publisher.Close()
}

// watermillConsumer is a Router with one handler.
// Of outcomes it uses the first failure alone: a consumer has no window.
type watermillConsumer struct {
	router     *message.Router
	subscriber *kafka.Subscriber
	running    sync.WaitGroup
	outcomes
}

// newWatermillConsumer runs a router, as the library's documentation shows.
func newWatermillConsumer(ctx context.Context, s Settings, handle Handler) (Consumer, error) {
	subscriber, err := kafka.NewSubscriber(kafka.SubscriberConfig{
		Brokers: s.Brokers, Unmarshaler: watermillMarshaler, ConsumerGroup: s.Group,
		OverwriteSaramaConfig: watermillConfig(kafka.DefaultSaramaSubscriberConfig(), s),
	}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	// Closing is bounded, or a handler that hangs would keep the process from ending.
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, watermill.NopLogger{})
	if err != nil {
		return nil, errors.Join(err, subscriber.Close())
	}
	c := &watermillConsumer{router: router, subscriber: subscriber}
	router.AddConsumerHandler("bench", s.Topic(), subscriber, func(m *message.Message) error {
		return decode(m.Metadata.Get(keyType), m.Payload, handle)
	})
	// Close ends the router, and not the context of the call.
	c.running.Go(func() { c.fail(router.Run(context.WithoutCancel(ctx))) })
	return c, nil
}

// Close ends the router, which acknowledges what was handled.
func (c *watermillConsumer) Close(context.Context) error {
	// The subscriber is closed last: acknowledgements go through it.
	err := c.router.Close()
	c.running.Wait()
	return errors.Join(err, c.subscriber.Close(), c.firstErr())
}
