package outbox

import "time"

// Option changes how a Publisher writes.
type Option func(*settings)

// settings are what options change. The zero value is due now, and takes no locks.
type settings struct {
	notBefore time.Time
	keyLock   bool
}

// NotBefore delays events until a time, by the database's clock. They become due in the
// order of their times, and until then [Cancel] can withdraw them. There is no order
// between a scheduled event and events of its key that are published in the meantime.
// The zero time means now.
func NotBefore(t time.Time) Option { return func(s *settings) { s.notBefore = t } }

// KeyLock locks the key of each event for the transaction. It is for keys that have no
// row that the transaction locks anyway: without either lock, two transactions that
// publish one key have no order. One call locks its keys in one order. Several calls in
// one transaction, or in several outboxes, may deadlock with a transaction that calls in
// another order; PostgreSQL then ends one of them with the error 40P01.
func KeyLock() Option { return func(s *settings) { s.keyLock = true } }
