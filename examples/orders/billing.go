package main

import (
	"context"

	"github.com/eventbus-go/eventbus/examples/orders/shop"
	"github.com/eventbus-go/eventbus/postgres/inbox"
)

// Bill writes the invoice of an order, in the inbox's transaction: an event that is
// delivered again does not come here again.
func Bill(ctx context.Context, o shop.OrderPlaced) error {
	tx, _ := inbox.FromContext(ctx)
	_, err := tx.Exec(ctx, `INSERT INTO invoices (order_id, customer, cents) VALUES ($1, $2, $3)`, o.OrderID, o.Customer, o.Cents)
	return err
}
