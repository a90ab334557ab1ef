// Package before is a service on sarama.
package before

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/IBM/sarama"

	"github.com/eventbus-go/eventbus/examples/migration/shop"
)

// Publish writes orders, each to the partition of its key.
func Publish(brokers []string, topic string, orders ...shop.Order) (err error) {
	config := sarama.NewConfig()
	config.Producer.RequiredAcks = sarama.WaitForAll // default: the leader alone
	config.Producer.Return.Successes = true
	producer, err := sarama.NewSyncProducer(brokers, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, producer.Close()) }()
	messages := make([]*sarama.ProducerMessage, len(orders))
	for i, o := range orders {
		value, err := json.Marshal(o)
		if err != nil {
			return err
		}
		messages[i] = &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder(o.ID), Value: sarama.ByteEncoder(value)}
	}
	return producer.SendMessages(messages)
}

// Handler is a sarama.ConsumerGroupHandler.
type Handler func(context.Context, shop.Order) error

// Setup implements sarama.ConsumerGroupHandler.
func (Handler) Setup(sarama.ConsumerGroupSession) error { return nil }

// Cleanup implements sarama.ConsumerGroupHandler.
func (Handler) Cleanup(sarama.ConsumerGroupSession) error { return nil }

// ConsumeClaim handles the orders of one partition, one after the other.
func (h Handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case m, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			var o shop.Order
			if err := json.Unmarshal(m.Value, &o); err != nil {
				return err // and again after each rebalance
			}
			if err := h(session.Context(), o); err != nil {
				return err
			}
			session.MarkMessage(m, "")
		case <-session.Context().Done():
			return nil
		}
	}
}

// Consume handles orders until ctx ends.
func Consume(ctx context.Context, brokers []string, topic string, handle Handler) (err error) {
	config := sarama.NewConfig()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest // default: what comes from now on
	group, err := sarama.NewConsumerGroup(brokers, "billing", config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, group.Close()) }()
	for ctx.Err() == nil { // Consume returns at each rebalance
		if err := group.Consume(ctx, []string{topic}, handle); err != nil {
			return err
		}
	}
	return ctx.Err()
}
