// Package idempotency publishes from a handler that may be tried again.
package idempotency

import (
	"context"

	"github.com/eventbus-go/eventbus"
)

// OrderPlaced is what the shop tells.
type OrderPlaced struct {
	OrderID string `json:"orderId" eventbus:"key"`
	Cents   int    `json:"cents"`
}

// ParcelWanted is what billing tells of an order that is paid.
type ParcelWanted struct {
	OrderID string `json:"orderId" eventbus:"key"`
}

// PaymentTaken says when an order was paid.
type PaymentTaken struct {
	OrderID string `json:"orderId" eventbus:"key"`
	At      string `json:"at"`
}

// The topics.
var (
	OrderPlacedTopic  = eventbus.NewTopic(eventbus.TopicConfig[OrderPlaced]{Domain: "shop", Name: "order", Plural: true})
	ParcelWantedTopic = eventbus.NewTopic(eventbus.TopicConfig[ParcelWanted]{Domain: "billing", Name: "parcel", Plural: true})
	PaymentTakenTopic = eventbus.NewTopic(eventbus.TopicConfig[PaymentTaken]{Domain: "billing", Name: "payment", Plural: true})
)

// Billing bills orders.
type Billing struct {
	charge  func(ctx context.Context, o OrderPlaced) (at string, err error)
	parcels *eventbus.Publisher[ParcelWanted]
	taken   *eventbus.Publisher[PaymentTaken]
}

// Bill may be tried again at any line: what it published before keeps its id.
func (b *Billing) Bill(ctx context.Context, o OrderPlaced) error {
	if err := b.parcels.Publish(ctx, ParcelWanted{OrderID: o.OrderID}); err != nil {
		return err
	}
	at, err := b.charge(ctx, o)
	if err != nil {
		return err
	}
	// The time is another in each attempt, so the step makes the id.
	return b.taken.PublishWith(ctx, PaymentTaken{o.OrderID, at}, eventbus.WithStep("charge"))
}

// Subscription subscribes billing to orders.
func (b *Billing) Subscription() eventbus.Subscription {
	return eventbus.On(OrderPlacedTopic, b.Bill, eventbus.DerivedIDs())
}

// Shipping handles each parcel once, in this process; a database's inbox does so across
// restarts.
func Shipping(ship func(context.Context, ParcelWanted) error, in eventbus.Inbox) eventbus.Subscription {
	return eventbus.On(ParcelWantedTopic, ship, eventbus.Group("shipping"), eventbus.Use(eventbus.Idempotent(in)))
}

// BillAll bills many orders at once: each event says which order it comes from.
func (b *Billing) BillAll(ctx context.Context, orders []OrderPlaced) error {
	d, _ := eventbus.DeliveryFrom(ctx)
	for i, o := range orders {
		if err := b.parcels.Publish(eventbus.CausedBy(ctx, d.Events[i]), ParcelWanted{OrderID: o.OrderID}); err != nil {
			return eventbus.StoppedAt(i, err)
		}
	}
	return nil
}
