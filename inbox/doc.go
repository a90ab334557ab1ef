// Package inbox has inboxes for eventbus.Idempotent that need no database. For a database,
// implement eventbus.Inbox with its transactions.
package inbox
