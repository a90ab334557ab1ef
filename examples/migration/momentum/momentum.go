// Package momentum is a contract that services of Momentum on .NET share, and a Go
// service beside them.
package momentum

import (
	"context"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/format"
)

// CustomerCreated has the names of .NET's JSON: camelCase.
type CustomerCreated struct {
	CustomerID string    `json:"customerId" eventbus:"key"`
	Name       string    `json:"name"`
	Email      string    `json:"email"`
	CreatedAt  time.Time `json:"createdAt"`
}

// CustomerCreatedTopic is dev.sales.public.customers.v1.
var CustomerCreatedTopic = eventbus.NewTopic(eventbus.TopicConfig[CustomerCreated]{
	Domain:      "sales",
	Name:        "customer",
	Plural:      true,
	Type:        "MyService.Contracts.IntegrationEvents.CustomerCreated", // the CLR name
	Partitioner: eventbus.CRC32(),                                        // Confluent.Kafka's default
})

// Config is that of a service beside them.
func Config() eventbus.Config {
	return eventbus.Config{Service: "mailer", Environment: "Development", Source: "/sales/mailer"}
}

// Serve handles customers until ctx ends.
func Serve(ctx context.Context, bus *eventbus.Bus, welcome func(context.Context, CustomerCreated) error) error {
	if err := eventbus.Subscribe(bus, CustomerCreatedTopic, welcome); err != nil {
		return err
	}
	return bus.Run(ctx)
}

// PlacedTopic is a topic of plain Wolverine, without Momentum: its envelope headers in
// place of CloudEvents, and a custom name.
var PlacedTopic = eventbus.NewTopic(eventbus.TopicConfig[Placed]{
	Address:     "shop-orders",
	Type:        "Shop.Contracts.OrderPlaced", // the header message-type
	Format:      format.Wolverine(),
	Partitioner: eventbus.CRC32(),
})

// Placed is an order that was placed.
type Placed struct {
	OrderID string `json:"orderId" eventbus:"key"`
}
