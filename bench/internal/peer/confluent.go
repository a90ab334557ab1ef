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

// confluentPeers has Confluent's client. It is a slice because a build without cgo has none.
var confluentPeers = []Peer{{
	Name: Confluent, Module: "github.com/confluentinc/confluent-kafka-go/v2", Publishes: true,
	NewPublisher: newConfluentPublisher, NewConsumer: newConfluentConsumer,
}}

// confluentPublisher publishes through librdkafka. Its outcomes are those of Enqueue alone.
type confluentPublisher struct {
	producer *kafka.Producer
	topic    string
	// draining waits for the goroutine that reads the delivery reports.
	draining sync.WaitGroup
	*outcomes
}

// newConfluentPublisher sets the partitioner of the other clients. For callers that wait
// and for low latency linger.ms is 0 instead of 5. For events that are enqueued delivery
// reports leave out the message, which nobody reads.
func newConfluentPublisher(_ context.Context, s Settings) (Publisher, error) {
	// murmur2_random is the Java client's partitioner. The queue has room for the whole
	// window, because Produce fails instead of waiting when it is full. Client metrics
	// (KIP-714) are off, since no other client in the comparison pushes any.
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
			// Only enqueued events report here. Publish has its own channel.
			case *kafka.Message:
				p.end(1, e.TopicPartition.Error)
			case kafka.Error:
				// The client recovers from other errors by itself.
				if e.IsFatal() {
					p.fail(e)
				}
			}
		}
	})
	return p, nil
}

// message returns the message for an order, with the headers of the binary mode. If
// encoding fails, it returns the error, and the message must not be used.
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

// Publish waits for the delivery report on its own channel, as the client's documentation
// shows.
func (p *confluentPublisher) Publish(ctx context.Context, o event.Order) error {
	m, err := p.message(o)
	if err != nil {
		return err
	}
	// The buffer keeps the client from blocking on the report if ctx ends first.
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

// Enqueue waits for room in the window; the client's own queue is at least as large.
func (p *confluentPublisher) Enqueue(ctx context.Context, o event.Order) error {
	m, err := p.message(o)
	if err == nil {
		err = p.begin(ctx)
	}
	if err == nil {
		// After an error the room stays taken, which is harmless as the measurement has failed.
		err = p.producer.Produce(m, nil)
	}
	return err
}

// Flush waits for the outcomes of enqueued events.
func (p *confluentPublisher) Flush(ctx context.Context) error { return p.wait(ctx) }

// Close closes the client, waits until all its reports are read, and returns the first
// failure.
func (p *confluentPublisher) Close(context.Context) error {
	// This closes Events, which ends the goroutine that reads reports.
	p.producer.Close()
	p.draining.Wait()
	return p.firstErr()
}

// confluentConsumer polls, and the client commits what was polled. Slow handlers get
// several consumers, as with kafka-go. It uses outcomes only for the first failure, since a
// consumer has no window.
type confluentConsumer struct {
	consumers []*kafka.Consumer
	cancel    context.CancelFunc
	polling   sync.WaitGroup
	outcomes
}

// newConfluentConsumer starts as many consumers as loops says, each with its own goroutine.
func newConfluentConsumer(ctx context.Context, s Settings, handle Handler) (Consumer, error) {
	c := new(confluentConsumer)
	// The consumer outlives the context of this call.
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
			// It is added before it subscribes, so that Close closes it if that fails.
			c.consumers = append(c.consumers, consumer)
			err = consumer.SubscribeTopics([]string{s.Topic()}, nil)
		}
		if err != nil {
			return nil, errors.Join(err, c.Close(ctx))
		}
		// A loop ends at its first error, which Close returns.
		c.polling.Go(func() { c.fail(pollConfluent(ctx, consumer, handle)) })
	}
	return c, nil
}

// pollConfluent handles messages until ctx ends, decoding fails, or the client reports a
// fatal error. The client retries after other errors.
func pollConfluent(ctx context.Context, consumer *kafka.Consumer, handle Handler) error {
	for ctx.Err() == nil {
		// Poll does not know ctx, so it returns after 100 ms at most.
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

// confluentType returns the event's type, or "" if the header is missing.
func confluentType(m *kafka.Message) string {
	for i := range m.Headers {
		if m.Headers[i].Key == keyType {
			return string(m.Headers[i].Value)
		}
	}
	return ""
}

// Close stops polling, closes the consumers, which commits and leaves the group, and
// returns all errors.
func (c *confluentConsumer) Close(context.Context) error {
	c.cancel()
	c.polling.Wait()
	// The first failure comes first, since errors of closing may follow from it.
	errs := []error{c.firstErr()}
	for _, consumer := range c.consumers {
		errs = append(errs, consumer.Close())
	}
	return errors.Join(errs...)
}
