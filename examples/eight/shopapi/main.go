// Command shopapi places an order.
package main

import (
	"context"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/eight/service"
	"github.com/eventbus-go/eventbus/examples/eight/shop"
	"go.uber.org/fx"
)

func main() { fx.New(app).Run() }

var app = fx.Options(service.Module, fx.Invoke(func(bus *eventbus.Bus, life fx.Lifecycle) {
	life.Append(fx.StartHook(func(ctx context.Context) error {
		return eventbus.Publish(ctx, bus, shop.OrderPlaced{ID: "o-1", Email: "ada@example.com"})
	}))
}))
