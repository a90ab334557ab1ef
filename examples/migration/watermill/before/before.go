// Package before is a service on Watermill.
package before

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/eventbus-go/eventbus/examples/migration/shop"
)

// marshaler takes the key from the metadata.
var marshaler = kafka.NewWithPartitioningMarshaler(func(_ string, m *message.Message) (string, error) {
	return m.Metadata.Get("key"), nil
})

// Publish writes orders, each to the partition of its key.
func Publish(brokers []string, topic string, orders ...shop.Order) (err error) {
	config := kafka.DefaultSaramaSyncPublisherConfig()
	config.Producer.RequiredAcks = sarama.WaitForAll // default: the leader alone
	publisher, err := kafka.NewPublisher(kafka.PublisherConfig{
		Brokers: brokers, Marshaler: marshaler, OverwriteSaramaConfig: config,
	}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, publisher.Close()) }()
	for _, o := range orders {
		value, err := json.Marshal(o)
		if err != nil {
			return err
		}
		m := message.NewMessage(watermill.NewUUID(), value)
		m.Metadata.Set("key", o.ID)
		if err := publisher.Publish(topic, m); err != nil {
			return err
		}
	}
	return nil
}

// Consume handles orders, those of one partition one after the other, until ctx ends.
func Consume(ctx context.Context, brokers []string, topic string, handle func(context.Context, shop.Order) error) error {
	config := kafka.DefaultSaramaSubscriberConfig()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest // default: what comes from now on
	subscriber, err := kafka.NewSubscriber(kafka.SubscriberConfig{
		Brokers: brokers, ConsumerGroup: "billing", Unmarshaler: marshaler, OverwriteSaramaConfig: config,
	}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	router.AddConsumerHandler("billing", topic, subscriber, func(m *message.Message) error {
		var o shop.Order
		if err := json.Unmarshal(m.Payload, &o); err != nil {
			return err // and again: nothing behind it in its partition is handled
		}
		return handle(m.Context(), o)
	})
	return router.Run(ctx)
}
