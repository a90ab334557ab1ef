// Package before is a service on kafka-go.
package before

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/segmentio/kafka-go"

	"github.com/eventbus-go/eventbus/examples/migration/shop"
)

// Publish writes orders, each to the partition of its key.
func Publish(ctx context.Context, brokers []string, topic string, orders ...shop.Order) (err error) {
	writer := &kafka.Writer{
		Addr: kafka.TCP(brokers...), Topic: topic,
		Balancer: &kafka.Hash{}, RequiredAcks: kafka.RequireAll, // defaults: no key order, no acknowledgement
	}
	defer func() { err = errors.Join(err, writer.Close()) }()
	messages := make([]kafka.Message, len(orders))
	for i, o := range orders {
		value, err := json.Marshal(o)
		if err != nil {
			return err
		}
		messages[i] = kafka.Message{Key: []byte(o.ID), Value: value}
	}
	return writer.WriteMessages(ctx, messages...)
}

// Consume handles orders one after the other, until ctx ends or one fails.
func Consume(ctx context.Context, brokers []string, topic string, handle func(context.Context, shop.Order) error) (err error) {
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: brokers, Topic: topic, GroupID: "billing", StartOffset: kafka.FirstOffset})
	defer func() { err = errors.Join(err, reader.Close()) }()
	for {
		m, err := reader.FetchMessage(ctx)
		if err != nil {
			return err
		}
		var o shop.Order
		if err := json.Unmarshal(m.Value, &o); err != nil {
			return err // and again after each restart
		}
		if err := handle(ctx, o); err != nil {
			return err
		}
		if err := reader.CommitMessages(context.WithoutCancel(ctx), m); err != nil {
			return err
		}
	}
}
