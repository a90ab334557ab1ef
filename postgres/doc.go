// Package postgres is the root of the module that connects the event bus to
// PostgreSQL: an event is published if, and only if, the transaction that it
// belongs to commits.
//
//	outbox/          Publisher: an event in the caller's transaction; Relay: from the table into Kafka
//	inbox/           eventbus.Inbox on the handler's own transaction
//	internal/carry/  passes a transaction in a context from the inbox to the outbox
//
// It is a separate module, so that neither the bus nor a contracts package depends on
// a database driver.
package postgres
