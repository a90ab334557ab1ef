package salesapi

import (
	"time"

	"github.com/eventbus-go/eventbus"
)

// CustomerRegistered is the service's own event: what happened in its domain, with
// all that it knows. Nobody else reads it, so that it may change at any time.
type CustomerRegistered struct {
	CustomerID   string    `json:"customerId" eventbus:"key"`
	GivenName    string    `json:"givenName"`
	FamilyName   string    `json:"familyName"`
	Email        string    `json:"email,omitempty"`
	RegisteredAt time.Time `json:"registeredAt"`
}

// customerUpdates is dev.sales.internal.customer-updates.v1 in Development.
var customerUpdates = eventbus.NewTopic(eventbus.TopicConfig[CustomerRegistered]{
	Domain:      "sales",
	Name:        "customer-update",
	Plural:      true,
	Scope:       eventbus.Internal,
	Partitions:  3,
	Description: "What happens to customers, for the sales service itself.",
})
