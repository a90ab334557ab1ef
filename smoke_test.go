package eventbus_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport/memory"
)

type customerCreated struct {
	CustomerID string `json:"customerId"`
	Name       string `json:"name"`
}

var customers = eventbus.NewTopic(eventbus.TopicConfig[customerCreated]{
	Domain: "sales", Name: "customer", Plural: true,
	Key: func(e customerCreated) string { return e.CustomerID },
})

func TestSmoke(t *testing.T) {
	bus, err := eventbus.New(memory.New(), eventbus.Config{Service: "sales-api", Environment: "Development"})
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 100)
	if err := eventbus.Subscribe(bus, customers, func(_ context.Context, e customerCreated) error {
		got <- e.Name
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := bus.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := eventbus.NewPublisher(bus, customers)
	for i := range 10 {
		if err := p.Publish(t.Context(), customerCreated{"c1", fmt.Sprint("n", i)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		select {
		case n := <-got:
			if n != fmt.Sprint("n", i) {
				t.Fatal(n)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%+v", bus.Health(t.Context()))
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := bus.Close(ctx); err != nil {
		t.Fatal(err)
	}
}
