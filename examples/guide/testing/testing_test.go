// Package testing shows tests of a service that uses the bus.
package testing

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/readme/sales"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/resilience"
)

var (
	ada   = sales.CustomerCreated{CustomerID: "c-1", Name: "Ada"}
	grace = sales.CustomerCreated{CustomerID: "c-2", Name: "Grace"}
)

func welcome(context.Context, sales.CustomerCreated) error { return nil }

// newCluster returns brokers where EVENTBUS_TEST_BROKERS names some, and memory
// elsewhere.
func newCluster(t *testing.T) *kafkatest.Cluster {
	if os.Getenv(kafkatest.BrokersVariable) != "" {
		return kafkatest.Open(t)
	}
	return kafkatest.NewMemory(t)
}

func TestHandled(t *testing.T) {
	cluster := newCluster(t)
	cluster.Start(t, eventbus.On(sales.CustomerCreatedTopic, welcome))
	kafkatest.Publish(t, cluster, sales.CustomerCreatedTopic, ada)
	cluster.Settle(t)
	kafkatest.Handled(t, cluster, sales.CustomerCreatedTopic, ada)
	kafkatest.DeadLettered(t, cluster, sales.CustomerCreatedTopic)
}

func TestRetryTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster, begin := kafkatest.NewMemory(t), time.Now()
		var attempts atomic.Int32
		cluster.Start(t, eventbus.On(sales.CustomerCreatedTopic, func(context.Context, sales.CustomerCreated) error {
			if attempts.Add(1); time.Since(begin) < time.Hour {
				return errors.New("still down")
			}
			return nil
		}, eventbus.Retry(resilience.Unlimited())))
		kafkatest.Publish(t, cluster, sales.CustomerCreatedTopic, ada)
		cluster.Settle(t) // an hour of the bubble's clock
		kafkatest.Handled(t, cluster, sales.CustomerCreatedTopic, ada)
		t.Log(attempts.Load(), "attempts")
	})
}

func TestBrokersGoAndComeBack(t *testing.T) {
	cluster := kafkatest.NewBroker(t)
	created := eventbus.NewPublisher(cluster.Start(t, eventbus.On(sales.CustomerCreatedTopic, welcome)), sales.CustomerCreatedTopic)
	if err := created.Publish(t.Context(), grace); err != nil {
		t.Fatal(err)
	}
	reconnect := cluster.Disconnect(t)
	receipt := created.PublishAsync(t.Context(), ada)
	reconnect()
	if _, err := receipt.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	cluster.Settle(t)
	kafkatest.Handled(t, cluster, sales.CustomerCreatedTopic, grace, ada)
}

func TestARepetitionChangesNothing(t *testing.T) {
	cluster := kafkatest.NewMemory(t)
	cluster.Start(t, eventbus.On(sales.CustomerCreatedTopic, welcome))
	kafkatest.Publish(t, cluster, sales.CustomerCreatedTopic, ada)
	kafkatest.Duplicate(t, cluster, sales.CustomerCreatedTopic, ada)
	cluster.Rebalance(t)
	cluster.Settle(t)
	kafkatest.Handled(t, cluster, sales.CustomerCreatedTopic, ada, ada)
}
