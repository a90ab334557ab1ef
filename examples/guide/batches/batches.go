// Package batches stores customers many at a time.
package batches

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/readme/sales"
)

// Store keeps customers.
type Store interface {
	// Insert stores customers in one statement and returns the errors of the
	// rows that the database refused, by index.
	Insert(ctx context.Context, customers []sales.CustomerCreated) (refused map[int]error, err error)
}

// Subscription stores new customers in store, up to 500 with one statement.
func Subscription(store Store) eventbus.Subscription {
	return eventbus.OnBatch(sales.CustomerCreatedTopic, insert(store), eventbus.BatchSize(500), eventbus.Concurrency(4))
}

// insert returns a handler that stores its batch with one statement.
func insert(store Store) func(context.Context, []sales.CustomerCreated) error {
	return func(ctx context.Context, customers []sales.CustomerCreated) error {
		refused, err := store.Insert(ctx, customers)
		if err != nil {
			return err // nothing was stored: all of them are tried again, one by one
		}
		if len(refused) > 0 {
			return &eventbus.BatchError{Errors: refused} // only these are tried again
		}
		return nil
	}
}

// Patient is Subscription for a slow topic: it waits for up to two seconds until a batch
// is full, and asks no more of the store than 1,000 customers a second.
func Patient(store Store) eventbus.Subscription {
	return eventbus.OnBatch(sales.CustomerCreatedTopic, insert(store),
		eventbus.BatchSize(500), eventbus.BatchWait(2*time.Second), eventbus.RateLimit(1000, 500))
}

// Import publishes customers and returns those that were not published, in order.
func Import(ctx context.Context, created *eventbus.Publisher[sales.CustomerCreated], customers []sales.CustomerCreated) ([]sales.CustomerCreated, error) {
	err := created.PublishBatch(ctx, customers)
	if err == nil {
		return nil, nil
	}
	var failed *eventbus.PublishBatchError
	if !errors.As(err, &failed) {
		return customers, err // nothing was tried
	}
	var left []sales.CustomerCreated
	for _, i := range slices.Sorted(maps.Keys(failed.Errors)) { // a customer's events stay in order
		left = append(left, customers[i])
	}
	return left, err
}
