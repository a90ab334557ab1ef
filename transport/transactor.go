package transport

import "context"

// Transactional is a Transport whose cluster has transactions. It is optional: callers use a
// type assertion on the Transport.
type Transactional interface {
	// Transactor returns the Transactor of a transactional id. It fences all others with that
	// id, in any process, and returns once the transaction that the last one left open has
	// ended. Of config only BatchBytes and Compression apply.
	Transactor(ctx context.Context, id string, config ProducerConfig) (Transactor, error)
}

// Transactor writes records in transactions: readers of committed records see all of a
// transaction or none of it. It must be used by one goroutine at a time and needs no Close.
//
// The first Produce begins a transaction, and Commit or Abort ends it. After an error from
// Produce or Commit the Transactor can't be used any more, and an open transaction is never
// committed once the next Transactor of the same id exists.
type Transactor interface {
	// Produce writes records within the transaction, in order, each to its Partition, which
	// must be set. It does not keep them. ErrFenced means that another Transactor of this id
	// was created.
	Produce(ctx context.Context, records ...Record) error
	// Commit ends the transaction. If the error is ErrOutcomeUnknown, the transaction may or
	// may not be committed.
	Commit(ctx context.Context) error
	// Abort ends the transaction without writing it.
	Abort(ctx context.Context) error
}
