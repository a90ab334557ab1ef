package outbox

import (
	"fmt"
	"time"
)

// Option changes how a Publisher writes.
type Option func(*settings)

// settings are what options change. The zero value publishes at once and takes no
// locks.
type settings struct {
	notBefore time.Time
	keyLock   bool
}

// NotBefore keeps events back until a time, by the database's clock: they become
// due then, in the order of their times, and [Cancel] can withdraw them before. A
// scheduled event has no order against events of its key that are published in
// the meantime. The zero time is now, and a time after the year 9999 is an error.
func NotBefore(t time.Time) Option { return func(s *settings) { s.notBefore = t } }

// The seconds of the years 1 to 9999, which every driver and every server takes.
const (
	firstSecond = -62_135_596_800
	lastSecond  = 253_402_300_799
)

// check refuses a time that the database can't store. Drivers count microseconds in 64
// bits, and a distant time that means "never" may overflow into the past.
func (s *settings) check() error {
	if second := s.notBefore.Unix(); second < firstSecond || second > lastSecond {
		return fmt.Errorf("NotBefore is %d seconds after 1970: use a time in the years 1 to 9999", second)
	}
	return nil
}

// KeyLock locks the key of each event until the transaction ends. Use it for keys
// without a row that the transaction locks anyway: without either lock, two
// transactions that publish the same key have no order. One call locks its keys in a
// fixed order. Several calls in one transaction may deadlock with another transaction
// that calls in a different order; PostgreSQL then ends one of them with the error
// 40P01.
func KeyLock() Option { return func(s *settings) { s.keyLock = true } }
