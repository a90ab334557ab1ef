package main

import (
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/eight/shop"
	"github.com/eventbus-go/eventbus/kafkatest"
)

func TestBill(t *testing.T) {
	cluster, topic := kafkatest.NewMemory(t), shop.Topics[0].(*eventbus.Topic[shop.OrderPlaced])
	cluster.Start(t, eventbus.On(topic, bill))
	kafkatest.Publish(t, cluster, topic, shop.OrderPlaced{ID: "o-1", Email: "ada@example.com"}, shop.OrderPlaced{ID: "o-2"})
	cluster.Settle(t)
	kafkatest.DeadLettered(t, cluster, topic, shop.OrderPlaced{ID: "o-2"})
}
