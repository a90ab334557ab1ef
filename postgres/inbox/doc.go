// Package inbox handles each event once: an [eventbus.Inbox] that enters the
// event's key in the transaction of the handler's own writes. Whatever a crash, a
// rebalance or a relay repeats is acknowledged without the handler, for as long as
// the key is kept.
//
//	inbox.go     Inbox: one transaction per attempt
//	database.go  pgx's and database/sql's transactions
//	schema.go    the table, its migration, cleaning
//
// Effectively once, end to end, is an inbox with an outbox behind it: the handler's
// writes, the keys and the events that the handler publishes commit together.
//
//	bus.Use(eventbus.Idempotent(in))
//	eventbus.Subscribe(bus, orders, func(ctx context.Context, o Order) error {
//		tx, _ := inbox.FromContext(ctx)
//		…
//	})
package inbox
