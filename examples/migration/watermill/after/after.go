// Package after is the service of package before on the bus.
package after

import (
	"context"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/migration/shop"
	"github.com/eventbus-go/eventbus/format"
)

// Orders is the topic as it is.
var Orders = eventbus.NewTopic(eventbus.TopicConfig[shop.Order]{
	Address:     "orders-{env}", // orders-dev, orders-prod
	Key:         func(o shop.Order) string { return o.ID },
	Format:      format.Watermill(),
	Partitioner: eventbus.FNV1a(), // as sarama's default, which Watermill uses
})

// Publish writes orders, each to the partition of its key.
func Publish(ctx context.Context, bus *eventbus.Bus, orders ...shop.Order) error {
	return eventbus.NewPublisher(bus, Orders).PublishBatch(ctx, orders)
}

// Consume handles orders, 64 keys at once, until ctx ends. One that fails is tried again
// and then dead-lettered, while the others go on.
func Consume(ctx context.Context, bus *eventbus.Bus, handle func(context.Context, shop.Order) error) error {
	if err := eventbus.Subscribe(bus, Orders, handle, eventbus.Group("billing")); err != nil {
		return err
	}
	return bus.Run(ctx)
}
