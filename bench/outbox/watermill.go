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

// watermillOutbox is Watermill's SQL publisher with its forwarder, set up as its
// documentation shows. It reads larger batches than by default, and polls as often as our
// relay does.
type watermillOutbox struct {
	bed *bed
	// topic is the topic in Kafka, which prepare creates for every turn.
	topic string
}

// forwarded is the topic within PostgreSQL from which the forwarder takes messages. The
// names of the tables are set, so that prepare can drop them. watermillKey is the name of
// the metadata that holds the key.
const (
	forwarded      = "bench_forwarder"
	watermillTable = `bench_outbox.watermill`
	watermillRead  = `bench_outbox.watermill_offsets`
	watermillKey   = "key"
)

func (w *watermillOutbox) name() string { return "watermill" }

// schema returns an adapter that reads up to 2,000 messages at once, in place of the
// library's 100, which would be a query for each hundred.
func (w *watermillOutbox) schema() wsql.DefaultPostgreSQLSchema {
	return wsql.DefaultPostgreSQLSchema{SubscribeBatchSize: 2000, GenerateMessagesTableName: func(string) string { return watermillTable }}
}

// offsets returns the adapter for the table of acknowledged offsets, which sent reads.
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
	// The subscriber creates the tables: a publisher within a transaction must not.
	if err := s.SubscribeInitialize(forwarded); err != nil {
		return "", err
	}
	_, w.topic, err = w.bed.topic(ctx, "watermill")
	return w.topic, err
}

// subscriber returns a subscriber that polls as often as our relay does by default.
func (w *watermillOutbox) subscriber() (*wsql.Subscriber, error) {
	return wsql.NewSubscriber(wsql.BeginnerFromPgx(w.bed.pool), wsql.SubscriberConfig{
		ConsumerGroup: "bench", SchemaAdapter: w.schema(), OffsetsAdapter: w.offsets(), InitializeSchema: true, PollInterval: 50 * time.Millisecond,
	}, watermill.NopLogger{})
}

func (w *watermillOutbox) publish(_ context.Context, tx pgx.Tx, events ...order) error {
	// A publisher is bound to one transaction.
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
		// The forwarder keeps the metadata, from which the marshaler for Kafka takes the key.
		messages[i].Metadata.Set(watermillKey, e.ID)
	}
	// The forwarder's publisher wraps the message in an envelope that names the topic in Kafka.
	return forwarder.NewPublisher(p, forwarder.PublisherConfig{ForwarderTopic: forwarded}).Publish(w.topic, messages...)
}

// relay runs the forwarder until ctx ends, with the same acknowledgements and keys as our
// relay.
func (w *watermillOutbox) relay(ctx context.Context) error {
	// The configuration is the library's own, except for two settings, which are also those
	// of package peer.
	config := wkafka.DefaultSaramaSyncPublisherConfig()
	config.Version = sarama.V2_8_0_0
	// The default waits for the leader alone.
	config.Producer.RequiredAcks = sarama.WaitForAll
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
	// Close stops Run and waits for the message under way. Run's own context does not end,
	// since its end could interrupt that message.
	stop := context.AfterFunc(ctx, func() { _ = f.Close() })
	defer stop()
	return f.Run(context.WithoutCancel(ctx))
}

// sent returns the acknowledged offset. It equals the number of acknowledged rows, since
// rows are numbered from 1 and no transaction is rolled back here.
func (w *watermillOutbox) sent(ctx context.Context) (n int64, err error) {
	err = w.bed.pool.QueryRow(ctx, `SELECT coalesce(max(offset_acked), 0) FROM `+watermillRead).Scan(&n)
	return n, err
}
