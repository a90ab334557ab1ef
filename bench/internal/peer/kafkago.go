package peer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/eventbus-go/eventbus/bench/internal/event"
)

// kafkaGoPeer is segmentio's client.
var kafkaGoPeer = Peer{
	Name: KafkaGo, Module: "github.com/segmentio/kafka-go", Publishes: true,
	NewPublisher: newKafkaGoPublisher, NewConsumer: newKafkaGoConsumer,
}

// kafkaGoPublisher publishes through a Writer, which is asynchronous if events are enqueued.
type kafkaGoPublisher struct {
	writer *kafka.Writer
	*outcomes
}

// newKafkaGoPublisher sets acks=all, since a Writer waits for no acknowledgement by
// default, the partitioner of the other clients, and a batch timeout, since by default a
// batch waits for a second until it is full.
func newKafkaGoPublisher(_ context.Context, s Settings) (Publisher, error) {
	p := &kafkaGoPublisher{outcomes: newOutcomes(s.Window)}
	// Without MetadataTopics a Transport keeps the metadata of all topics in the cluster.
	p.writer = &kafka.Writer{
		Addr:         kafka.TCP(s.Brokers...),
		Topic:        s.Topic(),
		Balancer:     kafka.Murmur2Balancer{},
		RequiredAcks: kafka.RequireAll,
		BatchTimeout: time.Millisecond,
		Compression:  kafkaGoCompression(s.Compression),
		Transport:    &kafka.Transport{MetadataTopics: []string{s.Topic()}},
	}
	// With several publishers the default size remains, and the timeout ends most batches.
	switch {
	case s.Publishers == 1, s.Prompt:
		// A batch of one is full at once, so that nothing waits.
		p.writer.BatchSize = 1
	case s.Publishers == 0:
		// Nobody waits for a single event, so batches may have ten times the default size.
		p.writer.BatchSize, p.writer.BatchTimeout = 1000, 5*time.Millisecond
	}
	if s.Publishers == 0 {
		// The Writer accepts events without a bound; Enqueue has one.
		p.writer.Async = true
		p.writer.Completion = func(messages []kafka.Message, err error) { p.end(len(messages), err) }
	}
	return p, nil
}

// kafkaGoCompression returns the client's codec of a name.
func kafkaGoCompression(name string) kafka.Compression {
	switch name {
	case "lz4":
		return kafka.Lz4
	case "zstd":
		return kafka.Zstd
	}
	// 0 means no compression.
	return 0
}

// kafkaGoMessage returns the message for an order. If encoding fails, it returns the error,
// and the message must not be used.
func kafkaGoMessage(o event.Order) (kafka.Message, error) {
	data, err := encode(o)
	id, now := event.Attributes()
	return kafka.Message{
		Key:   []byte(o.Customer),
		Value: data,
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

// Publish waits for the acknowledgement.
func (p *kafkaGoPublisher) Publish(ctx context.Context, o event.Order) error {
	m, err := kafkaGoMessage(o)
	if err != nil {
		return err
	}
	return p.writer.WriteMessages(ctx, m)
}

// Enqueue waits for room in the window, and returns once the Writer has the message.
func (p *kafkaGoPublisher) Enqueue(ctx context.Context, o event.Order) error {
	m, err := kafkaGoMessage(o)
	if err == nil {
		err = p.begin(ctx)
	}
	if err == nil {
		// With Async this returns at once, and Completion gets the outcome.
		err = p.writer.WriteMessages(ctx, m)
	}
	return err
}

// Flush waits for the outcomes of enqueued events.
func (p *kafkaGoPublisher) Flush(ctx context.Context) error { return p.wait(ctx) }

// Close flushes and closes the Writer.
func (p *kafkaGoPublisher) Close(context.Context) error { return p.writer.Close() }

// kafkaGoConsumer calls ReadMessage in a loop, which handles one event at a time. Slow
// handlers get a Reader and a loop for each partition. It uses outcomes only for the first
// failure, since a consumer has no window.
type kafkaGoConsumer struct {
	readers []*kafka.Reader
	cancel  context.CancelFunc
	reading sync.WaitGroup
	outcomes
}

// newKafkaGoConsumer starts as many Readers as loops says, each with its own goroutine.
func newKafkaGoConsumer(ctx context.Context, s Settings, handle Handler) (Consumer, error) {
	c := new(kafkaGoConsumer)
	// The consumer outlives the context of this call.
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	// The Readers are members of one group, so each gets some of the partitions.
	for range loops(s) {
		reader := kafka.NewReader(kafka.ReaderConfig{
			Brokers: s.Brokers, GroupID: s.Group, Topic: s.Topic(),
			StartOffset:      kafka.FirstOffset,
			MinBytes:         1,
			MaxBytes:         10e6,                   // the value in the client's README
			MaxWait:          500 * time.Millisecond, // 10 s by default, for which revoking and closing wait too
			QueueCapacity:    1000,                   // messages; 100 by default
			CommitInterval:   CommitInterval,         // 0 would commit each event by itself
			JoinGroupBackoff: 500 * time.Millisecond, // 5 s by default, which an error while joining would cost
		})
		c.readers = append(c.readers, reader)
		// A loop ends at its first error, which Close returns.
		c.reading.Go(func() { c.fail(readKafkaGo(ctx, reader, handle)) })
	}
	return c, nil
}

// loops returns how many consumers a client needs that runs one handler at a time: one for
// each of the six partitions if handlers are slow, and otherwise one.
func loops(s Settings) int {
	if s.Slow {
		return 6
	}
	return 1
}

// readKafkaGo handles messages until ctx ends, or until reading or decoding fails.
func readKafkaGo(ctx context.Context, reader *kafka.Reader, handle Handler) error {
	for ctx.Err() == nil {
		// ReadMessage also marks the message for the next commit.
		m, err := reader.ReadMessage(ctx)
		if err == nil {
			err = decode(kafkaGoType(m), m.Value, handle)
		}
		// An error because ctx has ended is not a failure.
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// kafkaGoType returns the event's type, or "" if the header is missing.
func kafkaGoType(m kafka.Message) string {
	for i := range m.Headers {
		if m.Headers[i].Key == keyType {
			return string(m.Headers[i].Value)
		}
	}
	return ""
}

// Close stops reading, commits, leaves the group, and returns all errors.
func (c *kafkaGoConsumer) Close(context.Context) error {
	c.cancel()
	c.reading.Wait()
	// A Reader commits its marked messages when it is closed.
	errs := []error{c.firstErr()}
	for _, reader := range c.readers {
		errs = append(errs, reader.Close())
	}
	return errors.Join(errs...)
}
