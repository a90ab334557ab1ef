package wire

import (
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// Event is an event and the record that carries it. Its fields are those of the
// root package's Envelope, one for one, so that one converts to the other
// without a copy. Envelope documents each of them.
type Event struct {
	ID              string
	Source          string
	Type            string
	Subject         string
	DataContentType string
	DataSchema      string
	Time            time.Time

	CorrelationID string
	CausationID   string
	TraceParent   string
	TraceState    string
	Extensions    map[string]string

	Data      []byte
	Tombstone bool

	Topic           string
	Partition       int32
	Offset          int64
	Key             []byte
	Timestamp       time.Time
	Headers         []transport.Header
	AssignmentEpoch uint64

	Redeliveries int
	Origin       transport.Position

	Shredded bool
}
