// Package sales is a contracts package: what the sales service publishes.
package sales

import (
	"time"

	"github.com/eventbus-go/eventbus"
)

// CustomerCreated says that somebody became a customer.
type CustomerCreated struct {
	CustomerID string    `json:"customerId"`
	Name       string    `json:"name"`
	Email      string    `json:"email"`
	CreatedAt  time.Time `json:"createdAt"`
}

// CustomerCreatedTopic carries one event per new customer, in order per customer.
var CustomerCreatedTopic = eventbus.NewTopic(eventbus.TopicConfig[CustomerCreated]{
	Domain: "sales",
	Name:   "customer",
	Plural: true, // dev.sales.public.customers.v1
	Key:    func(e CustomerCreated) string { return e.CustomerID },
})
