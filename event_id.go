package eventbus

import (
	"bufio"
	"crypto/rand"
	"sync"
	"time"

	uuid "github.com/gofrs/uuid/v5"
)

// eventIDs makes the ids of a topic's events. It asks the system for randomness
// for many at a time. It is safe for concurrent use; the zero value works.
type eventIDs struct {
	mu        sync.Mutex
	generator *uuid.Gen
}

// randomAtOnce is how many bytes of randomness are asked for: some 60 ids' worth.
const randomAtOnce = 512

// next returns a UUID of version 7 (RFC 9562, 5.7), whose first bits are the
// milliseconds of now: ids sort by age.
func (g *eventIDs) next(now time.Time) string {
	g.mu.Lock()
	if g.generator == nil {
		g.generator = uuid.NewGenWithOptions(uuid.WithRandomReader(bufio.NewReaderSize(rand.Reader, randomAtOnce)))
	}
	id, err := g.generator.NewV7AtTime(now)
	g.mu.Unlock()
	return uuid.Must(id, err).String() // it fails where the system has no randomness, and so no ids
}
