package transport

import "context"

// Transactional is a Transport whose cluster has transactions. It is optional:
// callers find it by a type
// assertion on the Transport.
type Transactional interface {
	// Transactor returns the one Transactor of a transactional id. Others with
	// that id, in any process, are fenced from now on, and the transaction that
	// the last one left open has ended when Transactor returns. Of the
	// configuration BatchBytes and Compression apply.
	Transactor(ctx context.Context, id string, config ProducerConfig) (Transactor, error)
}

// Transactor writes records in transactions: readers of committed records see
// all of one or none of it. It belongs to one goroutine and needs no Close.
//
// A transaction begins with the first Produce and ends with Commit or Abort.
// After an error from Produce or Commit the Transactor is spent, and what it left
// open is never written once the next one of its id has been made.
type Transactor interface {
	// Produce writes records within the transaction, in order, each to its
	// Partition, which must be set. Nothing of them is kept. An error that is
	// ErrFenced says that another Transactor of this id has been made.
	Produce(ctx context.Context, records ...Record) error
	// Commit ends the transaction. An error that is ErrOutcomeUnknown says that
	// it may be written or not.
	Commit(ctx context.Context) error
	// Abort ends the transaction without writing it.
	Abort(ctx context.Context) error
}
