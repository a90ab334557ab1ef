//go:build cgo

package peer

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/eventbus-go/eventbus/bench/internal/event"
)

// confluentPeers is a slice so that a build without cgo can have none.
var confluentPeers = []Peer{{
	Name: Confluent, Module: "github.com/confluentinc/confluent-kafka-go/v2", Publishes: true,
	NewPublisher: newConfluentPublisher, NewConsumer: newConfluentConsumer,
}}

// confluentPublisher publishes through librdkafka.
type confluentPublisher struct {
	producer *kafka.Producer
	topic    string
	// draining waits for the goroutine that reads delivery reports.
	draining sync.WaitGroup
	*outcomes
}

// newConfluentPublisher sets the other clients' partitioner. Where callers wait,
// linger.ms goes from 5 to 0; where they don't, delivery reports come without the
// message, as its performance notes say.
func newConfluentPublisher(_ context.Context, s Settings) (Publisher, error) {
	// murmur2_random is the Java client's partitioner. The queue has room for more than the
	// window, because Produce does not wait when it is full: it fails. Client metrics
	// (KIP-714) are off, since no other client of the comparison pushes any.
	config := kafka.ConfigMap{
		"bootstrap.servers":            strings.Join(s.Brokers, ","),
		"acks":                         "all",
		"partitioner":                  "murmur2_random",
		"compression.type":             s.Compression,
		"queue.buffering.max.messages": max(s.Window, 100000),
		"enable.metrics.push":          false,
	}
	if s.Publishers > 0 || s.Prompt {
		config["linger.ms"] = 0
	}
	if s.Publishers == 0 {
		config["go.delivery.report.fields"] = "none"
	}
	producer, err := kafka.NewProducer(&config)
	if err != nil {
		return nil, err
	}
	p := &confluentPublisher{producer: producer, topic: s.Topic(), outcomes: newOutcomes(s.Window)}
	p.draining.Go(func() {
		for e := range producer.Events() {
			switch e := e.(type) {
			// Only what was enqueued reports here. Publish has a channel of its own.
			case *kafka.Message:
				p.end(1, e.TopicPartition.Error)
			case kafka.Error:
				// The client retries after any other error.
				if e.IsFatal() {
					p.fail(e)
				}
			}
		}
	})
	return p, nil
}

// message returns the message of an order, with the headers of the binary mode.
// An error is that of encoding, and the message is then of no use.
func (p *confluentPublisher) message(o event.Order) (*kafka.Message, error) {
	data, err := encode(o)
	id, now := event.Attributes()
	return &kafka.Message{
		TopicPartition: kafka.TopicPartition{Topic: &p.topic, Partition: kafka.PartitionAny},
		Key:            []byte(o.Customer),
		Value:          data,
		Headers: []kafka.Header{
			{Key: keySpecVersion, Value: valueSpecVersion},
			{Key: keyID, Value: id},
			{Key: keySource, Value: valueSource},
			{Key: keyType, Value: valueType},
			{Key: keyTime, Value: now},
			{Key: keyContentType, Value: valueContentType},
		},
	}, err
}

// Publish waits on a channel of its own, as the client's documentation shows.
func (p *confluentPublisher) Publish(ctx context.Context, o event.Order) error {
	m, err := p.message(o)
	if err != nil {
		return err
	}
	// Room for the report, so that the client does not block on it if ctx ends first.
	reports := make(chan kafka.Event, 1)
	if err := p.producer.Produce(m, reports); err != nil {
		return err
	}
	select {
	case e := <-reports:
		return e.(*kafka.Message).TopicPartition.Error
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Enqueue bounds what is under way; the client's own queue is larger.
func (p *confluentPublisher) Enqueue(ctx context.Context, o event.Order) error {
	m, err := p.message(o)
	if err == nil {
		err = p.begin(ctx)
	}
	if err == nil {
		// After an error its room stays taken, which does not matter: the measurement has failed.
		err = p.producer.Produce(m, nil)
	}
	return err
}

// Flush waits for the outcomes of what was enqueued.
func (p *confluentPublisher) Flush(ctx context.Context) error { return p.wait(ctx) }

// Close waits for all reports: Events is closed by it.
func (p *confluentPublisher) Close(context.Context) error {
	// This closes Events.
	p.producer.Close()
	p.draining.Wait()
	return p.firstErr()
}

// confluentConsumer polls; the client commits what was polled. As with kafka-go
// a slow handler gets several.
// Of outcomes it uses the first failure alone: a consumer has no window.
type confluentConsumer struct {
	consumers []*kafka.Consumer
	cancel    context.CancelFunc
	polling   sync.WaitGroup
	outcomes
}

// newConfluentConsumer returns a consumer with a goroutine for each loop.
func newConfluentConsumer(ctx context.Context, s Settings, handle Handler) (Consumer, error) {
	c := new(confluentConsumer)
	// The consumer outlives the context of the call.
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for range loops(s) {
		consumer, err := kafka.NewConsumer(&kafka.ConfigMap{
			"bootstrap.servers":          strings.Join(s.Brokers, ","),
			"group.id":                   s.Group,
			"auto.offset.reset":          "earliest",
			"enable.auto.commit":         true,
			"auto.commit.interval.ms":    int(CommitInterval.Milliseconds()),
			"queued.max.messages.kbytes": FetchBytes >> 10,
			"enable.metrics.push":        false,
		})
		if err == nil {
			// Before it subscribes, so that Close ends it if that fails.
			c.consumers = append(c.consumers, consumer)
			err = consumer.SubscribeTopics([]string{s.Topic()}, nil)
		}
		if err != nil {
			return nil, errors.Join(err, c.Close(ctx))
		}
		// A loop that fails ends, and its error is returned by Close.
		c.polling.Go(func() { c.fail(pollConfluent(ctx, consumer, handle)) })
	}
	return c, nil
}

// pollConfluent handles messages until ctx ends. Errors that are not fatal are the
// client's to retry.
func pollConfluent(ctx context.Context, consumer *kafka.Consumer, handle Handler) error {
	for ctx.Err() == nil {
		// The end of ctx is noticed within 100 ms.
		switch e := consumer.Poll(100).(type) {
		case *kafka.Message:
			if err := decode(confluentType(e), e.Value, handle); err != nil {
				return err
			}
		case kafka.Error:
			if e.IsFatal() {
				return e
			}
		}
	}
	return nil
}

// confluentType returns the event's type, empty if the header is missing.
func confluentType(m *kafka.Message) string {
	for i := range m.Headers {
		if m.Headers[i].Key == keyType {
			return string(m.Headers[i].Value)
		}
	}
	return ""
}

// Close stops polling before it closes the consumers.
func (c *confluentConsumer) Close(context.Context) error {
	c.cancel()
	c.polling.Wait()
	// The first failure comes first: what closing says may follow from it.
	errs := []error{c.firstErr()}
	for _, consumer := range c.consumers {
		errs = append(errs, consumer.Close())
	}
	return errors.Join(errs...)
}
