// Package outbox publishes events through a table of PostgreSQL: an event is written
// in the transaction of the change that it reports, and a relay sends it to Kafka
// after the commit.
//
// # Promise
//
// An event whose transaction commits is published at least once. One whose transaction
// rolls back is never published. Events of one key are published in the order in which
// their transactions locked the key's row (or [KeyLock]). An event keeps the id that it
// got in the caller's transaction, so package inbox handles it once however often it is
// sent: effectively once, end to end.
//
// The limits: events of one key whose transactions share no lock have no order. After
// the death of a relay, at most one batch is sent again, in order within itself. After
// an asynchronous failover of the database, events that the new primary does not have
// are lost with their transactions. With [Config.Unfenced], a relay that was frozen may
// send one more batch when it thaws, beside its successor.
//
// # How it reads
//
// Ids of a sequence become visible out of order, and so do transaction ids. A relay
// that reads "id > last" loses events, and one that orders by transaction inverts keys.
// This one reads differences of snapshots, as PgQ does: all rows that are visible in the
// snapshot `to` and were not in the snapshot `from`, ordered by id. PostgreSQL removes a
// transaction from the list of running ones before it releases its locks
// (CommitTransaction in xact.c), so a snapshot that shows an event also shows every
// earlier event of its key, with a smaller id.
//
// # The files
//
//	table.go      the names of the tables        schema.go     Migrate, versions, rights
//	migration.go  the steps of the schema        partition.go  one partition a day
//	row.go        an envelope as a row           tx.go         Pgx and SQL: the caller's transaction
//	publisher.go  Publish, PublishBatch, Delete  option.go     NotBefore, KeyLock
//	schedule.go   due events, Cancel             fault.go      errors of the database in words
//	config.go     Config                         relay.go      NewRelay, Run
//	database.go   what the server must be        lease.go      one leader, by the database's clock
//	window.go     the difference of snapshots    cursor.go     where a relay is
//	send.go       batches into Kafka             parked.go     keys that Kafka refuses
//	rebase.go     after a restored dump          cleanup.go    deleting what is settled
//	status.go     Status                         operator.go   list, retry, skip
//	health.go     Health
//	metrics.go    instruments                    memory.go     a stand-in without a database
//	notify.go     waking relays elsewhere        bound.go       a database that does not answer
package outbox
