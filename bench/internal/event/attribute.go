package event

import (
	"time"

	"github.com/google/uuid"
)

// Attributes returns the two attributes that each event has for itself, as they
// stand in headers: a new id and the present time. The id is of the library that
// the bus takes its ids from, so that ids weigh the same for all.
func Attributes() (id, now []byte) {
	id, _ = uuid.Must(uuid.NewV7()).MarshalText() // it never fails
	return id, time.Now().UTC().AppendFormat(make([]byte, 0, len(time.RFC3339Nano)), time.RFC3339Nano)
}
