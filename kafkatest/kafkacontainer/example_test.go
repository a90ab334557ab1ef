package kafkacontainer_test

import (
	"context"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/kafkatest/kafkacontainer"
)

// A test runs on a broker in a container as it does in memory. In a real test, t is
// its own parameter.
func Example() {
	_ = func(t *testing.T) {
		cluster := kafkacontainer.Run(t, kafkacontainer.Reuse("orders"))
		cluster.Start(t, eventbus.On(orders, func(context.Context, order) error { return nil }))
		kafkatest.Publish(t, cluster, orders, order{"o-1"})
		cluster.Settle(t)
		kafkatest.Handled(t, cluster, orders, order{"o-1"})
	}
}
