// Package outbox publishes events through a table of PostgreSQL: an event is
// written in the transaction that makes it true, and a relay sends it to Kafka
// once that has committed.
//
// # Promise
//
// An event whose transaction commits is published at least once; one whose
// transaction rolls back never is. Events of one key are published in the order
// in which their transactions took the key's row lock (or [KeyLock]). An event
// keeps the id that it got in the caller's transaction, so the inbox of package
// inbox lets it through once however often it is sent: that is effectively once,
// end to end.
//
// The limits: events of one key whose transactions share no lock have no order;
// after the death of a relay at most one batch is sent again, in order within
// itself; after an asynchronous failover of the database what the new primary
// does not have was never written. With [Config.Unfenced] a relay that was frozen
// may, when it thaws, send one batch more beside its successor.
//
// # How it reads
//
// Ids of a sequence become visible out of order, and so do transaction ids; a
// relay that reads "id > last" loses events, and one that orders by transaction
// inverts keys. This one reads differences of snapshots, as PgQ does: all rows
// that are visible in the snapshot `to` and were not in the snapshot `from`,
// ordered by id. PostgreSQL removes a transaction from the list of the running
// ones before it releases its locks (CommitTransaction in xact.c), so whatever
// snapshot shows an event shows every earlier event of its key, with a smaller id.
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
