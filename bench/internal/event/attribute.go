package event

import (
	"bufio"
	"crypto/rand"
	"sync"
	"time"

	"github.com/gofrs/uuid/v5"
)

var (
	ids        = uuid.NewGenWithOptions(uuid.WithRandomReader(bufio.NewReaderSize(rand.Reader, 512)))
	oneAtATime sync.Mutex // for the reader of ids
)

// Attributes returns the two attributes that each event has for itself, as they
// stand in headers: a new id and the present time. The id is made as the bus
// makes its ids, so that ids weigh the same for all.
func Attributes() (id, now []byte) {
	at := time.Now()
	oneAtATime.Lock()
	made, err := ids.NewV7AtTime(at)
	oneAtATime.Unlock()
	id, _ = uuid.Must(made, err).MarshalText() // it never fails
	return id, at.UTC().AppendFormat(make([]byte, 0, len(time.RFC3339Nano)), time.RFC3339Nano)
}
