package peer

import (
	"context"
	"errors"
	"sync"

	"github.com/IBM/sarama"

	"github.com/eventbus-go/eventbus/bench/internal/event"
)

// saramaPeer is IBM's client.
var saramaPeer = Peer{
	Name: Sarama, Module: "github.com/IBM/sarama", Publishes: true,
	NewPublisher: newSaramaPublisher, NewConsumer: newSaramaConsumer,
}

// saramaConfig sets acks=all (the default waits for the leader alone) and, for
// groups, the earliest offset and the other clients' session.
func saramaConfig(s Settings) *sarama.Config {
	c := sarama.NewConfig()
	// Record headers need protocol version 0.11 (KIP-82), and zstd needs 2.1 (KIP-110).
	c.Version = sarama.V2_8_0_0
	c.Producer.RequiredAcks = sarama.WaitForAll
	// A SyncProducer requires this, and an AsyncProducer reports to outcomes by it.
	c.Producer.Return.Successes = true
	c.Producer.Compression = saramaCompression(s.Compression)
	// A group without offsets would begin at the end otherwise, behind the events.
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

// saramaPublisher is a SyncProducer where callers wait, and an AsyncProducer
// where they don't.
// One of sync and async is set.
type saramaPublisher struct {
	topic    string
	sync     sarama.SyncProducer
	async    sarama.AsyncProducer
	draining sync.WaitGroup
	*outcomes
}

// newSaramaPublisher drains both channels of an AsyncProducer, which stops
// otherwise.
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
	// Both loops end when AsyncClose has closed the channels.
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

// message returns the message of an order.
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

// Enqueue waits for room, and then hands the message to the client's channel.
func (p *saramaPublisher) Enqueue(ctx context.Context, o event.Order) error {
	m, err := p.message(o)
	if err == nil {
		err = p.begin(ctx)
	}
	if err == nil {
		// The room is there, so this waits for the client's own goroutine alone.
		p.async.Input() <- m
	}
	return err
}

// Flush waits for the outcomes of what was enqueued.
func (p *saramaPublisher) Flush(ctx context.Context) error { return p.wait(ctx) }

// Close waits for all outcomes.
func (p *saramaPublisher) Close(context.Context) error {
	if p.sync != nil {
		// Its calls have returned with their outcomes, so none is left to wait for.
		return p.sync.Close()
	}
	// Close would take the outcomes itself.
	p.async.AsyncClose()
	p.draining.Wait()
	return p.firstErr()
}

// saramaConsumer is a ConsumerGroup: one goroutine for each partition.
// Of outcomes it uses the first failure alone: a consumer has no window.
type saramaConsumer struct {
	group   sarama.ConsumerGroup
	handle  Handler
	cancel  context.CancelFunc
	running sync.WaitGroup
	outcomes
}

// newSaramaConsumer consumes again after each rebalance, which ends Consume.
func newSaramaConsumer(ctx context.Context, s Settings, handle Handler) (Consumer, error) {
	group, err := sarama.NewConsumerGroup(s.Brokers, s.Group, saramaConfig(s))
	if err != nil {
		return nil, err
	}
	c := &saramaConsumer{group: group, handle: handle}
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.running.Go(func() {
		for ctx.Err() == nil {
			// It returns nil when a rebalance has ended the session.
			if err := group.Consume(ctx, []string{s.Topic()}, c); err != nil {
				c.fail(err)
				return
			}
		}
	})
	return c, nil
}

// Setup and Cleanup implement sarama.ConsumerGroupHandler. They have nothing to do.
func (*saramaConsumer) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*saramaConsumer) Cleanup(sarama.ConsumerGroupSession) error { return nil }

// ConsumeClaim handles one partition until it is taken away.
// An event that can't be decoded is marked as well: it has failed the measurement already.
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
		// Without this a rebalance would wait until the fetched messages are handled.
		case <-session.Context().Done():
			return nil
		}
	}
}

// saramaType returns the event's type, empty if the header is missing.
func saramaType(m *sarama.ConsumerMessage) string {
	for _, h := range m.Headers {
		if string(h.Key) == keyType {
			return string(h.Value)
		}
	}
	return ""
}

// Close ends Consume before it closes the group.
func (c *saramaConsumer) Close(context.Context) error {
	c.cancel()
	c.running.Wait()
	return errors.Join(c.group.Close(), c.firstErr())
}
