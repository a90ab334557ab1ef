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

// kafkaGoPublisher publishes through a Writer.
type kafkaGoPublisher struct {
	writer *kafka.Writer
	*outcomes
}

// newKafkaGoPublisher sets acks=all (a Writer waits for none by default), the
// partitioner of all others, and a batch timeout: with its default of one second
// a call takes a second.
func newKafkaGoPublisher(_ context.Context, s Settings) (Publisher, error) {
	p := &kafkaGoPublisher{outcomes: newOutcomes(s.Window)}
	// MetadataTopics: by default a Transport keeps the metadata of all topics of the cluster.
	p.writer = &kafka.Writer{
		Addr:         kafka.TCP(s.Brokers...),
		Topic:        s.Topic(),
		Balancer:     kafka.Murmur2Balancer{},
		RequiredAcks: kafka.RequireAll,
		BatchTimeout: time.Millisecond,
		Compression:  kafkaGoCompression(s.Compression),
		Transport:    &kafka.Transport{MetadataTopics: []string{s.Topic()}},
	}
	// Several publishers keep the default size: a batch ends after the timeout at the latest.
	switch {
	case s.Publishers == 1, s.Prompt:
		// The batch is full at once: nothing waits.
		p.writer.BatchSize = 1
	case s.Publishers == 0:
		// Ten times the default size: nobody waits for a single event here.
		p.writer.BatchSize, p.writer.BatchTimeout = 1000, 5*time.Millisecond
	}
	if s.Publishers == 0 {
		// Enqueue bounds what the Writer itself would take without an end.
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
	// Zero is not a compression.
	return 0
}

// kafkaGoMessage returns the message of an order.
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

// Enqueue waits for room of its own, as the Writer takes without a bound.
func (p *kafkaGoPublisher) Enqueue(ctx context.Context, o event.Order) error {
	m, err := kafkaGoMessage(o)
	if err == nil {
		err = p.begin(ctx)
	}
	if err == nil {
		// Async makes it return at once. Completion gets the outcome.
		err = p.writer.WriteMessages(ctx, m)
	}
	return err
}

// Flush waits for the outcomes of what was enqueued.
func (p *kafkaGoPublisher) Flush(ctx context.Context) error { return p.wait(ctx) }

// Close flushes and ends the Writer.
func (p *kafkaGoPublisher) Close(context.Context) error { return p.writer.Close() }

// kafkaGoConsumer is a loop of ReadMessage. A handler that takes its time gets a
// Reader for each partition: one loop handles one event at a time.
// Of outcomes it uses the first failure alone: a consumer has no window.
type kafkaGoConsumer struct {
	readers []*kafka.Reader
	cancel  context.CancelFunc
	reading sync.WaitGroup
	outcomes
}

// newKafkaGoConsumer returns a consumer with a Reader for each loop.
func newKafkaGoConsumer(ctx context.Context, s Settings, handle Handler) (Consumer, error) {
	c := new(kafkaGoConsumer)
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	// The readers of one group divide the partitions between them.
	for range loops(s) {
		reader := kafka.NewReader(kafka.ReaderConfig{
			Brokers: s.Brokers, GroupID: s.Group, Topic: s.Topic(),
			StartOffset:      kafka.FirstOffset,
			MinBytes:         1,
			MaxBytes:         10e6,                   // as the README has it
			MaxWait:          500 * time.Millisecond, // ten seconds by default, for which revoking and closing wait too
			QueueCapacity:    1000,
			CommitInterval:   CommitInterval, // zero would commit each event by itself
			JoinGroupBackoff: 500 * time.Millisecond,
		})
		c.readers = append(c.readers, reader)
		// A loop that fails ends, and its error is returned by Close.
		c.reading.Go(func() { c.fail(readKafkaGo(ctx, reader, handle)) })
	}
	return c, nil
}

// loops returns how many consumers a client needs that runs one handler at a time:
// one, but for slow handlers one for each of the six partitions.
func loops(s Settings) int {
	if s.Slow {
		return 6
	}
	return 1
}

// readKafkaGo handles messages until ctx ends.
func readKafkaGo(ctx context.Context, reader *kafka.Reader, handle Handler) error {
	for ctx.Err() == nil { // until it is closed
		// ReadMessage notes the message for the next commit by itself.
		m, err := reader.ReadMessage(ctx)
		if err == nil {
			err = decode(kafkaGoType(m), m.Value, handle)
		}
		// Errors that the end of ctx brings are not failures.
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// kafkaGoType returns the event's type, empty if the header is missing.
func kafkaGoType(m kafka.Message) string {
	for i := range m.Headers {
		if m.Headers[i].Key == keyType {
			return string(m.Headers[i].Value)
		}
	}
	return ""
}

// Close stops reading, then leaves the group.
func (c *kafkaGoConsumer) Close(context.Context) error {
	c.cancel()
	c.reading.Wait()
	// Each Reader commits what it noted when it is closed.
	errs := []error{c.firstErr()}
	for _, reader := range c.readers {
		errs = append(errs, reader.Close())
	}
	return errors.Join(errs...)
}
