// Package fxpostgres wires outbox and inbox into an fx application that provides a
// *pgxpool.Pool and has [fxmodule.Module]:
//
//	fxmodule.Module,
//	fxpostgres.Module, fxpostgres.Migrate(),        // the relay, and *inbox.Inbox
//	fxpostgres.Publisher(sales.OrderPlacedTopic),   // *outbox.Publisher[OrderPlaced]
//	fxpostgres.Idempotent(),                        // every handler in the inbox's transaction
//
// The relay runs as long as the application does and ends before the bus closes.
// What handlers write while they drain stays in the table for the next relay.
package fxpostgres
