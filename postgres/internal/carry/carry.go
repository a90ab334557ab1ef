// Package carry passes a handler's transaction in its context, from the inbox
// that began it to the outbox that writes in it, which don't import each other.
package carry

import "context"

type key struct{}

// With returns ctx with a transaction: a pgx.Tx, a *sql.Tx, or the in-memory one.
func With(ctx context.Context, tx any) context.Context { return context.WithValue(ctx, key{}, tx) }

// From returns the transaction of ctx, or nil.
func From(ctx context.Context) any { return ctx.Value(key{}) }
