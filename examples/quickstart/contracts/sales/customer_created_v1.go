package sales

import (
	"errors"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
)

// CustomerCreatedV1 is how CustomerCreated was before names had two parts. Nobody
// publishes it any more; the log still has it.
type CustomerCreatedV1 struct {
	CustomerID string    `json:"customerId"`
	Name       string    `json:"name"`
	Email      string    `json:"email,omitempty"`
	CreatedAt  time.Time `json:"createdAt"`
}

// CustomerCreatedV1Topic is dev.sales.public.customers.v1 in Development. Its type
// is the same as that of the next version: the topic's name tells them apart.
var CustomerCreatedV1Topic = eventbus.NewTopic(eventbus.TopicConfig[CustomerCreatedV1]{
	Domain:      "sales",
	Name:        "customer",
	Plural:      true,
	Type:        "CustomerCreated",
	Key:         func(e CustomerCreatedV1) string { return e.CustomerID },
	Partitions:  3,
	Description: "New customers, with their names in one piece.",
})

// FromV1 brings an event of the first version into the present one:
// eventbus.On(CustomerCreatedV1Topic, eventbus.Upcast(FromV1, handler)).
func FromV1(old CustomerCreatedV1) (CustomerCreated, error) {
	name := strings.TrimSpace(old.Name)
	if name == "" {
		return CustomerCreated{}, errors.New("the customer has no name")
	}
	e := CustomerCreated{CustomerID: old.CustomerID, FamilyName: name, Email: old.Email, CreatedAt: old.CreatedAt}
	// Nothing says where the family name begins: the last word is taken for it, and a
	// name of one word is a family name. Readers of both versions agree on that, since
	// the contract does it for them.
	if space := strings.LastIndexByte(name, ' '); space > 0 {
		e.GivenName, e.FamilyName = strings.TrimSpace(name[:space]), name[space+1:]
	}
	return e, nil
}
