package view_test

import (
	"context"
	"fmt"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport/memory"
	"github.com/eventbus-go/eventbus/view"
)

// A view holds the last event of each key. After WaitFor it has the caller's own.
func Example() {
	ctx := context.Background()
	bus, err := eventbus.New(memory.New(), eventbus.Config{Service: "shop", Environment: "Development"})
	if err != nil {
		panic(err)
	}
	defer bus.Close(ctx)
	publisher := eventbus.NewPublisher(bus, prices)
	if err := publisher.Publish(ctx, price{SKU: "sku-17", Cents: 499}); err != nil {
		panic(err)
	}

	v, err := view.New(bus, prices, view.Config{})
	if err != nil {
		panic(err)
	}
	if err := v.Start(ctx); err != nil {
		panic(err)
	}
	defer v.Close(ctx)
	p, found, err := v.Get(ctx, "sku-17")
	fmt.Println(p.Cents, found, err)

	receipt := publisher.PublishAsync(ctx, price{SKU: "sku-17", Cents: 449})
	if err := v.WaitFor(ctx, receipt); err != nil {
		panic(err)
	}
	p, _, _ = v.Get(ctx, "sku-17")
	fmt.Println(p.Cents)
	// Output:
	// 499 true <nil>
	// 449
}
