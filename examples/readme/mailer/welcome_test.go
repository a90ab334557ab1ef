package main

import (
	"context"
	"errors"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/readme/sales"
	"github.com/eventbus-go/eventbus/kafkatest"
)

func TestWelcomeIsRetriedAndDeadLettered(t *testing.T) {
	cluster := kafkatest.NewMemory(t) // or NewBroker(t): the Kafka protocol, in process
	cluster.Start(t, eventbus.On(sales.CustomerCreatedTopic, func(ctx context.Context, e sales.CustomerCreated) error {
		if e.Email == "" {
			return errors.New("no address")
		}
		return welcome(ctx, e)
	}))
	kafkatest.Publish(t, cluster, sales.CustomerCreatedTopic,
		sales.CustomerCreated{CustomerID: "c-1", Email: "ada@example.com"}, sales.CustomerCreated{CustomerID: "c-2"})
	cluster.Settle(t)
	if dead := kafkatest.DeadLettered(t, cluster, sales.CustomerCreatedTopic); len(dead) != 1 || dead[0].Attempts != 3 {
		t.Errorf("dead letters: %+v", dead)
	}
}
