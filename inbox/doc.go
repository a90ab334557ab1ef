// Package inbox provides an inbox for eventbus.Idempotent that needs no database. For
// PostgreSQL there is the module postgres; for another database, implement
// eventbus.Inbox with its transactions.
package inbox
