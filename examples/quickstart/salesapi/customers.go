package salesapi

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/quickstart/contracts/sales"
)

// customers is what the service knows, made of its own events.
type customers struct {
	// mu guards byID: handlers of several customers and requests run at the same time.
	mu   sync.Mutex
	byID map[string]CustomerRegistered
}

// newCustomers returns an empty list, which ends with the process. A service that is
// to know its customers after a restart keeps them in a database.
func newCustomers() *customers { return &customers{byID: make(map[string]CustomerRegistered)} }

// remember handles an event that may come more than once: once or twice, the
// customer is there.
func (c *customers) remember(_ context.Context, e CustomerRegistered) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byID[e.CustomerID] = e
	return nil
}

// all returns the customers in the order of their registration. The list is the
// caller's own.
func (c *customers) all() []CustomerRegistered {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]CustomerRegistered, 0, len(c.byID))
	for _, e := range c.byID {
		all = append(all, e)
	}
	// A map has no order. The id decides between customers of the same moment.
	slices.SortFunc(all, func(a, b CustomerRegistered) int {
		return cmp.Or(a.RegisteredAt.Compare(b.RegisteredAt), cmp.Compare(a.CustomerID, b.CustomerID))
	})
	return all
}

// announcer turns the domain event into the public one. The request that made the
// first is answered by then; that the second follows is the bus's promise.
type announcer struct {
	created *eventbus.Publisher[sales.CustomerCreated]
}

// announce gives the public event an id that comes from the customer's, so that it
// is the same event if this runs twice.
func (a *announcer) announce(ctx context.Context, e CustomerRegistered) error {
	return a.created.PublishWith(ctx, sales.CustomerCreated{
		CustomerID: e.CustomerID, GivenName: e.GivenName, FamilyName: e.FamilyName, Email: e.Email, CreatedAt: e.RegisteredAt,
	}, eventbus.WithID("customer-created-"+e.CustomerID))
}
