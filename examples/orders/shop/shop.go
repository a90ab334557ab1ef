// Package shop declares the events of the orders example.
package shop

import "github.com/eventbus-go/eventbus"

// OrderPlaced says that a customer has placed an order.
type OrderPlaced struct {
	OrderID  string `json:"orderId"`
	Customer string `json:"customer"`
	Cents    int64  `json:"cents"`
}

// OrderPlacedTopic carries one event per order, in order per customer.
var OrderPlacedTopic = eventbus.NewTopic(eventbus.TopicConfig[OrderPlaced]{
	Domain: "shop", Name: "order", Plural: true, Partitions: 3,
	Key: func(o OrderPlaced) string { return o.Customer },
})
