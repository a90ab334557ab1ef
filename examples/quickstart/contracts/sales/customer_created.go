// Package sales is the contract of the sales service: the events that it publishes, and
// their topics. It imports only the event bus, so a service that imports it depends on
// nothing else.
package sales

import (
	"time"

	"github.com/eventbus-go/eventbus"
)

// CustomerCreated is published when a customer has been created.
type CustomerCreated struct {
	CustomerID string    `json:"customerId"`
	GivenName  string    `json:"givenName"`
	FamilyName string    `json:"familyName"`
	Email      string    `json:"email,omitempty"`
	CreatedAt  time.Time `json:"createdAt"`
}

// CustomerCreatedTopic carries one event per new customer, in order per customer:
// dev.sales.public.customers.v2 in Development.
var CustomerCreatedTopic = eventbus.NewTopic(eventbus.TopicConfig[CustomerCreated]{
	Domain:      "sales",
	Name:        "customer",
	Plural:      true,
	Version:     "v2",
	Key:         func(e CustomerCreated) string { return e.CustomerID },
	Partitions:  3,
	Description: "New customers, with their names in two parts.",
})
