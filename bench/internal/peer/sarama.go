package peer

import (
	"context"
	"errors"
	"sync"

	"github.com/IBM/sarama"

	"github.com/eventbus-go/eventbus/bench/internal/event"
)

// saramaPeer is sarama, IBM's client.
var saramaPeer = Peer{
	Name: Sarama, Module: "github.com/IBM/sarama", Publishes: true,
	NewPublisher: newSaramaPublisher, NewConsumer: newSaramaConsumer,
}

// saramaConfig returns a configuration with acks=all, since the default waits for the leader
// alone, and with the same compression and commit interval as the other clients.
func saramaConfig(s Settings) *sarama.Config {
	c := sarama.NewConfig()
	// Record headers need the protocol of 0.11 (KIP-82), and zstd needs that of 2.1 (KIP-110).
	c.Version = sarama.V2_8_0_0
	c.Producer.RequiredAcks = sarama.WaitForAll
	// A SyncProducer requires this, and Enqueue learns from it that there is room.
	c.Producer.Return.Successes = true
	c.Producer.Compression = saramaCompression(s.Compression)
	// By default a new group begins at the end, after the events.
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Interval = CommitInterval
	return c
}

// saramaCompression returns the client's codec of a name.
func saramaCompression(name string) sarama.CompressionCodec {
	switch name {
	case "lz4":
		return sarama.CompressionLZ4
	case "zstd":
		return sarama.CompressionZSTD
	}
	return sarama.CompressionNone
}

// saramaPublisher has a SyncProducer for callers that wait, or an AsyncProducer for events
// that are enqueued.
type saramaPublisher struct {
	topic string
	// One of sync and async is set.
	sync  sarama.SyncProducer
	async sarama.AsyncProducer
	// draining waits for the goroutines that read the outcomes of async.
	draining sync.WaitGroup
	*outcomes
}

// newSaramaPublisher starts a publisher. It reads both channels of an AsyncProducer, which
// would otherwise block.
func newSaramaPublisher(_ context.Context, s Settings) (Publisher, error) {
	p := &saramaPublisher{topic: s.Topic(), outcomes: newOutcomes(s.Window)}
	var err error
	if s.Publishers > 0 {
		p.sync, err = sarama.NewSyncProducer(s.Brokers, saramaConfig(s))
		return p, err
	}
	if p.async, err = sarama.NewAsyncProducer(s.Brokers, saramaConfig(s)); err != nil {
		return nil, err
	}
	// Both loops end once AsyncClose has closed the channels.
	p.draining.Go(func() {
		for range p.async.Successes() {
			p.end(1, nil)
		}
	})
	p.draining.Go(func() {
		for failed := range p.async.Errors() {
			p.end(1, failed)
		}
	})
	return p, nil
}

// message returns the message for an order. If encoding fails, it returns the error, and
// the message must not be used.
func (p *saramaPublisher) message(o event.Order) (*sarama.ProducerMessage, error) {
	data, err := encode(o)
	id, now := event.Attributes()
	return &sarama.ProducerMessage{
		Topic: p.topic,
		Key:   sarama.StringEncoder(o.Customer),
		Value: sarama.ByteEncoder(data),
		Headers: []sarama.RecordHeader{
			{Key: saramaKeys.specVersion, Value: valueSpecVersion},
			{Key: saramaKeys.id, Value: id},
			{Key: saramaKeys.source, Value: valueSource},
			{Key: saramaKeys.typ, Value: valueType},
			{Key: saramaKeys.time, Value: now},
			{Key: saramaKeys.contentType, Value: valueContentType},
		},
	}, err
}

// saramaKeys are the header keys as bytes, made once.
var saramaKeys = struct{ specVersion, id, source, typ, time, contentType []byte }{
	[]byte(keySpecVersion), []byte(keyID), []byte(keySource), []byte(keyType), []byte(keyTime), []byte(keyContentType),
}

// Publish waits for the acknowledgement.
func (p *saramaPublisher) Publish(_ context.Context, o event.Order) error {
	m, err := p.message(o)
	if err == nil {
		_, _, err = p.sync.SendMessage(m)
	}
	return err
}

// Enqueue waits for room in the window, and then for the client's channel.
func (p *saramaPublisher) Enqueue(ctx context.Context, o event.Order) error {
	m, err := p.message(o)
	if err == nil {
		err = p.begin(ctx)
	}
	if err == nil {
		// The client's goroutine reads this channel until Close, so the send does not need ctx.
		p.async.Input() <- m
	}
	return err
}

// Flush waits for the outcomes of enqueued events.
func (p *saramaPublisher) Flush(ctx context.Context) error { return p.wait(ctx) }

// Close flushes and closes the client. It returns the first failure of an enqueued event.
func (p *saramaPublisher) Close(context.Context) error {
	if p.sync != nil {
		// Publish has returned each outcome, so none is left to wait for.
		return p.sync.Close()
	}
	// The method Close would read the outcomes itself.
	p.async.AsyncClose()
	p.draining.Wait()
	return p.firstErr()
}

// saramaConsumer handles the events of a ConsumerGroup, which has a goroutine for each
// partition. It uses outcomes only for the first failure, since a consumer has no window.
type saramaConsumer struct {
	group   sarama.ConsumerGroup
	handle  Handler
	cancel  context.CancelFunc
	running sync.WaitGroup
	outcomes
}

// newSaramaConsumer starts a consumer. It calls Consume again after each rebalance.
func newSaramaConsumer(ctx context.Context, s Settings, handle Handler) (Consumer, error) {
	group, err := sarama.NewConsumerGroup(s.Brokers, s.Group, saramaConfig(s))
	if err != nil {
		return nil, err
	}
	c := &saramaConsumer{group: group, handle: handle}
	// The consumer outlives the context of this call.
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.running.Go(func() {
		for ctx.Err() == nil {
			// Consume returns nil when a rebalance has ended the session.
			if err := group.Consume(ctx, []string{s.Topic()}, c); err != nil {
				c.fail(err)
				return
			}
		}
	})
	return c, nil
}

// Setup and Cleanup do nothing. sarama.ConsumerGroupHandler requires them.
func (*saramaConsumer) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*saramaConsumer) Cleanup(sarama.ConsumerGroupSession) error { return nil }

// ConsumeClaim handles the messages of one partition until it is revoked. A message that
// can't be decoded is marked too: the measurement has then failed anyway.
func (c *saramaConsumer) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case m, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			if err := decode(saramaType(m), m.Value, c.handle); err != nil {
				c.fail(err)
			}
			session.MarkMessage(m, "")
		// Otherwise a rebalance would wait until all fetched messages are handled.
		case <-session.Context().Done():
			return nil
		}
	}
}

// saramaType returns the event's type, or "" if the header is missing.
func saramaType(m *sarama.ConsumerMessage) string {
	for _, h := range m.Headers {
		if string(h.Key) == keyType {
			return string(h.Value)
		}
	}
	return ""
}

// Close stops consuming, and then closes the group, which leaves it.
func (c *saramaConsumer) Close(context.Context) error {
	c.cancel()
	c.running.Wait()
	return errors.Join(c.group.Close(), c.firstErr())
}
