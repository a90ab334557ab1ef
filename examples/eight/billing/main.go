// Command billing sends a bill for each order.
package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/eight/service"
	"github.com/eventbus-go/eventbus/examples/eight/shop"
	"github.com/eventbus-go/eventbus/fxmodule"
	"go.uber.org/fx"
)

func main() { fx.New(app).Run() }

// 64 orders at once, in order per id; one that fails is tried again for five minutes.
var app = fx.Options(service.Module, fxmodule.HandleFunc(bill))

func bill(_ context.Context, o shop.OrderPlaced) error {
	if o.Email == "" {
		return eventbus.Permanent(errors.New("nobody to send a bill to")) // a dead letter at once
	}
	_, err := fmt.Println("bill for", o.ID, "to", o.Email)
	return err
}
