package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventbus-go/eventbus/examples/orders/shop"
	"github.com/eventbus-go/eventbus/postgres/outbox"
)

// Orders takes orders over HTTP.
type Orders struct {
	pool   *pgxpool.Pool
	placed *outbox.Publisher[shop.OrderPlaced]
}

// errOther: the id is that of an order with other contents.
var errOther = errors.New("there is another order of this id")

// Place stores an order and its event in one transaction: there is never one
// without the other.
func (o *Orders) Place(ctx context.Context, order shop.OrderPlaced) error {
	return pgx.BeginFunc(ctx, o.pool, func(tx pgx.Tx) error {
		placed, err := tx.Exec(ctx, `INSERT INTO orders (id, customer, cents) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, order.OrderID, order.Customer, order.Cents)
		if err != nil {
			return err
		}
		if placed.RowsAffected() == 0 { // it is there already
			var same bool
			err := tx.QueryRow(ctx, `SELECT customer = $2 AND cents = $3 FROM orders WHERE id = $1`, order.OrderID, order.Customer, order.Cents).Scan(&same)
			if err == nil && !same {
				err = errOther
			}
			return err
		}
		return o.placed.Publish(ctx, outbox.Pgx(tx), order)
	})
}

// ServeHTTP answers POST /orders.
func (o *Orders) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var order shop.OrderPlaced
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&order); err != nil {
		http.Error(w, "the order is not JSON", http.StatusBadRequest)
		return
	}
	if order.OrderID == "" || order.Customer == "" {
		http.Error(w, "an order has an orderId and a customer", http.StatusBadRequest)
		return
	}
	// The order's id is the client's, and the primary key of the table: an order that is
	// sent again, for want of an answer, is not stored twice, and has the same answer.
	if err := o.Place(r.Context(), order); errors.Is(err, errOther) {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	} else if err != nil {
		http.Error(w, "the order was not stored", http.StatusServiceUnavailable)
		return
	}
	// After the commit: from here on the order and its event survive any crash.
	w.WriteHeader(http.StatusCreated)
}
