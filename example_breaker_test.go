package eventbus_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/resilience"
)

// Two subscriptions need the same database. They share a breaker, so that an outage
// noticed by one of them pauses the other too, and both resume when it is over.
func ExampleSharedBreaker() {
	ctx := context.Background()
	bus, _ := exampleBus()
	defer stop(bus)
	database := eventbus.SharedBreaker("customers database", resilience.BreakerConfig{
		OnChange: func(from, to resilience.State) { slog.Warn("customers database", "from", from, "to", to) },
	})
	done := make(chan struct{}, 2)
	err := bus.Add(
		eventbus.On(CustomerCreatedTopic, func(context.Context, CustomerCreated) error { done <- struct{}{}; return nil }, database),
		eventbus.On(CustomerRenamedTopic, func(context.Context, CustomerRenamed) error { done <- struct{}{}; return nil }, database),
	)
	if err == nil {
		err = bus.Start(ctx)
	}
	if err == nil {
		err = eventbus.NewPublisher(bus, CustomerCreatedTopic).Publish(ctx, CustomerCreated{CustomerID: "c-1"})
	}
	if err == nil {
		err = eventbus.NewPublisher(bus, CustomerRenamedTopic).Publish(ctx, CustomerRenamed{CustomerID: "c-1"})
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	<-done
	<-done
	fmt.Println("both handled")
	// Output: both handled
}
