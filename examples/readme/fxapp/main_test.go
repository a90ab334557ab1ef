package main

import (
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/readme/sales"
	"github.com/eventbus-go/eventbus/kafkatest"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"
)

func TestAppWelcomes(t *testing.T) {
	cluster := kafkatest.NewMemory(t)
	var created *eventbus.Publisher[sales.CustomerCreated]
	application := fxtest.New(t, app(), cluster.Module(), fx.Populate(&created))
	application.RequireStart()
	if err := created.Publish(t.Context(), sales.CustomerCreated{CustomerID: "c-1", Name: "Ada"}); err != nil {
		t.Fatal(err)
	}
	cluster.Settle(t)
	kafkatest.Handled(t, cluster, sales.CustomerCreatedTopic, sales.CustomerCreated{CustomerID: "c-1", Name: "Ada"})
	application.RequireStop()
}
