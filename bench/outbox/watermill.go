package main

import (
	"context"
	"encoding/json"

	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	wkafka "github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
)

// watermillOutbox is Watermill's SQL publisher behind its forwarder, as its
// documentation sets an outbox up. Where that has a choice it gets what serves it:
// batches of the size of ours, and looks as often as ours.
// topic is the one in Kafka, which prepare makes for every turn.
type watermillOutbox struct {
	bed   *bed
	topic string
}

// forwarded is the topic within PostgreSQL from which the forwarder takes messages. The
// tables have names of their own, so that prepare can drop them. watermillKey is the
// metadata in which the key travels.
const (
	forwarded      = "bench_forwarder"
	watermillTable = `bench_outbox.watermill`
	watermillRead  = `bench_outbox.watermill_offsets`
	watermillKey   = "key"
)

func (w *watermillOutbox) name() string { return "watermill" }

// schema reads as many messages at once as our relay does by default.
func (w *watermillOutbox) schema() wsql.DefaultPostgreSQLSchema {
	return wsql.DefaultPostgreSQLSchema{SubscribeBatchSize: 2000, GenerateMessagesTableName: func(string) string { return watermillTable }}
}

// offsets is where the subscriber keeps what it has acknowledged, which sent reads.
func (w *watermillOutbox) offsets() wsql.DefaultPostgreSQLOffsetsAdapter {
	return wsql.DefaultPostgreSQLOffsetsAdapter{GenerateMessagesOffsetsTableName: func(string) string { return watermillRead }}
}

func (w *watermillOutbox) prepare(ctx context.Context) (_ string, err error) {
	if err := w.bed.exec(ctx, `DROP TABLE IF EXISTS `+watermillTable+`, `+watermillRead); err != nil {
		return "", err
	}
	s, err := w.subscriber()
	if err != nil {
		return "", err
	}
	// This creates the tables. The publisher does not: it writes in the transactions that
	// are measured.
	if err := s.SubscribeInitialize(forwarded); err != nil {
		return "", err
	}
	_, w.topic, err = w.bed.topic(ctx, "watermill")
	return w.topic, err
}

// subscriber returns one that looks as often as our relay does by default.
func (w *watermillOutbox) subscriber() (*wsql.Subscriber, error) {
	return wsql.NewSubscriber(wsql.BeginnerFromPgx(w.bed.pool), wsql.SubscriberConfig{
		ConsumerGroup: "bench", SchemaAdapter: w.schema(), OffsetsAdapter: w.offsets(), InitializeSchema: true, PollInterval: 50 * time.Millisecond,
	}, watermill.NopLogger{})
}

func (w *watermillOutbox) publish(_ context.Context, tx pgx.Tx, events ...order) error {
	// A publisher belongs to one transaction.
	p, err := wsql.NewPublisher(wsql.TxFromPgx(tx), wsql.PublisherConfig{SchemaAdapter: w.schema()}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	messages := make([]*message.Message, len(events))
	for i, e := range events {
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		messages[i] = message.NewMessage(watermill.NewUUID(), data)
		// The forwarder carries the metadata along, for the marshaler that writes to Kafka.
		messages[i].Metadata.Set(watermillKey, e.ID)
	}
	// The forwarder's publisher puts the topic in Kafka into an envelope around the message.
	return forwarder.NewPublisher(p, forwarder.PublisherConfig{ForwarderTopic: forwarded}).Publish(w.topic, messages...)
}

// relay runs the forwarder, with the acknowledgements and the keys that ours has.
func (w *watermillOutbox) relay(ctx context.Context) error {
	// The configuration is the library's own, but for the acknowledgements.
	config := wkafka.DefaultSaramaSyncPublisherConfig()
	// The protocol version is the one that bench/internal/peer sets too.
	config.Version = sarama.V2_8_0_0
	config.Producer.RequiredAcks = sarama.WaitForAll // as ours
	to, err := wkafka.NewPublisher(wkafka.PublisherConfig{
		Brokers: w.bed.brokers, OverwriteSaramaConfig: config,
		Marshaler: wkafka.NewWithPartitioningMarshaler(func(_ string, m *message.Message) (string, error) { return m.Metadata.Get(watermillKey), nil }),
	}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	defer func() { _ = to.Close() }()
	from, err := w.subscriber()
	if err != nil {
		return err
	}
	f, err := forwarder.NewForwarder(from, to, watermill.NopLogger{}, forwarder.Config{ForwarderTopic: forwarded})
	if err != nil {
		return err
	}
	// Close ends Run, after the message that is under way; a context that ends would cut
	// it off.
	stop := context.AfterFunc(ctx, func() { _ = f.Close() })
	defer stop()
	return f.Run(context.WithoutCancel(ctx))
}

// sent is the offset that is acknowledged: rows are numbered from 1, and none is
// rolled back here.
func (w *watermillOutbox) sent(ctx context.Context) (n int64, err error) {
	err = w.bed.pool.QueryRow(ctx, `SELECT coalesce(max(offset_acked), 0) FROM `+watermillRead).Scan(&n)
	return n, err
}
