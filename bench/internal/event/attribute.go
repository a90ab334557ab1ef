package event

import (
	"bufio"
	"crypto/rand"
	"sync"
	"time"

	"github.com/gofrs/uuid/v5"
)

var (
	// ids makes UUIDs of version 7, as the bus does. Its reader is buffered like that of the
	// bus: without a buffer each id would cost a system call.
	ids = uuid.NewGenWithOptions(uuid.WithRandomReader(bufio.NewReaderSize(rand.Reader, 512)))
	// oneAtATime guards the reader of ids.
	oneAtATime sync.Mutex
)

// Attributes returns the two attributes that differ between events, as values of headers:
// a new id, and the current time in UTC by RFC 3339. Clients other than the bus use it, at
// about the cost that ids have for the bus. It is safe for concurrent use.
func Attributes() (id, now []byte) {
	at := time.Now()
	oneAtATime.Lock()
	made, err := ids.NewV7AtTime(at)
	oneAtATime.Unlock()
	// rand.Reader never fails, and it is the only source of errors.
	id, _ = uuid.Must(made, err).MarshalText()
	return id, at.UTC().AppendFormat(make([]byte, 0, len(time.RFC3339Nano)), time.RFC3339Nano)
}
