package fxmodule_test

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus"
)

type CustomerCreated struct {
	CustomerID string `json:"customerId"`
	Name       string `json:"name"`
}

var CustomerCreatedTopic = eventbus.NewTopic(eventbus.TopicConfig[CustomerCreated]{
	Domain: "sales", Name: "customer", Plural: true,
	Key: func(c CustomerCreated) string { return c.CustomerID },
})

type WelcomeSent struct {
	CustomerID string `json:"customerId"`
}

var WelcomeSentTopic = eventbus.NewTopic(eventbus.TopicConfig[WelcomeSent]{
	Domain: "mail", Name: "welcome", Plural: true,
	Key: func(w WelcomeSent) string { return w.CustomerID },
})

// oneCustomer lets an application run in memory until one customer has been
// welcomed and the welcome counted.
var oneCustomer = fx.Options(
	fx.NopLogger,
	fx.Decorate(inMemory),
	fx.Invoke(func(bus *eventbus.Bus, life fx.Lifecycle, app fx.Shutdowner) error {
		err := bus.Use(func(next eventbus.Handler) eventbus.Handler {
			return func(ctx context.Context, d *eventbus.Delivery) error {
				err := next(ctx, d)
				if d.Events[0].Type == "WelcomeSent" {
					return app.Shutdown()
				}
				return err
			}
		})
		life.Append(fx.StartHook(func(ctx context.Context) error {
			return eventbus.NewPublisher(bus, CustomerCreatedTopic).Publish(ctx, CustomerCreated{CustomerID: "c-1", Name: "Ada"})
		}))
		return err
	}),
)

// TestExampleIsShort: the whole program of the example, with one publisher, two
// subscriptions and a served /health, is shorter than 40 lines.
func TestExampleIsShort(t *testing.T) {
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(source, []byte("\n")); n >= 40 {
		t.Errorf("the example has %d lines, 40 or more", n)
	}
	for call, times := range map[string]int{
		"fxmodule.Module,": 1, "fxmodule.FromEnvironment(": 1, "fxmodule.Publisher(": 1, "fxmodule.Subscribe(": 2, "fxmodule.HealthServer(": 1,
	} {
		if n := strings.Count(string(source), call); n != times {
			t.Errorf("the example has %s %d times, want %d", call, n, times)
		}
	}
}
