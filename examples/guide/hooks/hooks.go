// Package hooks alerts somebody of dead letters, and keeps what belongs to the partitions
// that this member has.
package hooks

import (
	"context"
	"fmt"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/readme/sales"
	"github.com/eventbus-go/eventbus/transport"
)

// Pager alerts somebody.
type Pager interface {
	Page(ctx context.Context, text string)
}

// Prices are kept by partition: those of the customers whose events come from it.
type Prices interface {
	Load(ctx context.Context, p transport.Partition)
	Drop(p transport.Partition, lost bool)
}

// Add subscribes welcome with hooks.
func Add(bus *eventbus.Bus, welcome func(context.Context, sales.CustomerCreated) error, pager Pager, prices Prices) error {
	return eventbus.Subscribe(bus, sales.CustomerCreatedTopic, welcome,
		eventbus.OnDeadLetter(func(ctx context.Context, l eventbus.DeadLetter) {
			pager.Page(ctx, fmt.Sprintf("%s %s given up: %s", l.Type, l.EventID, l.Reason))
		}),
		eventbus.OnAssigned(func(ctx context.Context, partitions []transport.Partition) {
			for _, p := range partitions {
				prices.Load(ctx, p) // no event of p is handled before
			}
		}),
		eventbus.OnRevoked(func(_ context.Context, partitions []transport.Partition, lost bool) {
			for _, p := range partitions {
				prices.Drop(p, lost) // if not lost, what was handled is committed
			}
		}))
}
