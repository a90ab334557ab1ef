package kafkacontainer_test

import (
	"context"
	"errors"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/kafkatest/kafkacontainer"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/transporttest"
)

type order struct {
	ID string `json:"id"`
}

var orders = eventbus.NewTopic(eventbus.TopicConfig[order]{
	Domain: "shop", Name: "orders", Partitions: 3, Key: func(o order) string { return o.ID },
})

// TestKit runs a typical test of kafkatest on the container.
func TestKit(t *testing.T) {
	cluster := kafkacontainer.Run(t, kafkacontainer.Reuse("eventbus-test"))
	cluster.Start(t, eventbus.On(orders, func(_ context.Context, o order) error {
		if o.ID == "b" {
			return eventbus.Permanent(errors.New("b is bad"))
		}
		return nil
	}))
	kafkatest.Publish(t, cluster, orders, order{"a"}, order{"b"}, order{"c"})
	cluster.Settle(t)
	kafkatest.Handled(t, cluster, orders, order{"a"}, order{"c"})
	kafkatest.DeadLettered(t, cluster, orders, order{"b"})
}

// TestReuse: a second run gets the container of the first.
func TestReuse(t *testing.T) {
	first := kafkacontainer.Brokers(t, kafkacontainer.Reuse("eventbus-test"))
	second := kafkacontainer.Brokers(t, kafkacontainer.Reuse("eventbus-test"))
	if len(first) != 1 || first[0] != second[0] {
		t.Errorf("%v and %v, want the same", first, second)
	}
}

// TestConformance runs the transports' conformance tests on the container's broker.
func TestConformance(t *testing.T) {
	brokers := kafkacontainer.Brokers(t)
	open := func(*testing.T) transport.Transport { return kafka.New(kafka.Config{Brokers: brokers}) }
	transporttest.Run(t, open, transporttest.Lacks("Admin/Refused", "tested on other brokers"), transporttest.Parallel())
}
