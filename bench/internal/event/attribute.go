package event

import (
	"bufio"
	"crypto/rand"
	"sync"
	"time"

	"github.com/gofrs/uuid/v5"
)

// ids makes ids as the bus does; its reader is buffered, or each id would cost a
// system call.
var (
	ids = uuid.NewGenWithOptions(uuid.WithRandomReader(bufio.NewReaderSize(rand.Reader, 512)))
	// oneAtATime guards the reader of ids.
	oneAtATime sync.Mutex
)

// Attributes returns the two attributes that each event has for itself, as they
// stand in headers: a new id and the present time. The id is made as the bus
// makes its ids, so that ids weigh the same for all.
func Attributes() (id, now []byte) {
	at := time.Now()
	oneAtATime.Lock()
	made, err := ids.NewV7AtTime(at)
	oneAtATime.Unlock()
	// It never fails.
	id, _ = uuid.Must(made, err).MarshalText()
	return id, at.UTC().AppendFormat(make([]byte, 0, len(time.RFC3339Nano)), time.RFC3339Nano)
}
