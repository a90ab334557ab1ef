// Package inbox handles each event once. It is an [eventbus.Inbox] that inserts the
// event's key in the transaction of the handler's own writes. An event that a crash, a
// rebalance or a relay repeats is acknowledged without calling the handler, while the
// key is kept.
//
//	inbox.go     Inbox: one transaction per attempt
//	database.go  pgx's and database/sql's transactions
//	schema.go    the table, its migration, cleaning
//
// An inbox with an outbox behind it is effectively once, end to end: the handler's
// writes, the keys and the events that the handler publishes commit together.
//
//	bus.Use(eventbus.Idempotent(in))
//	eventbus.Subscribe(bus, orders, func(ctx context.Context, o Order) error {
//		tx, _ := inbox.FromContext(ctx)
//		…
//	})
package inbox
