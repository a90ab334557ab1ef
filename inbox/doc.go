// Package inbox has inboxes for eventbus.Idempotent that need no database. One
// for a database implements eventbus.Inbox on that database's transactions.
package inbox
