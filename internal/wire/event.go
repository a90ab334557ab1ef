package wire

import (
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// Event is an event and the record that carries it. Its fields are those of the
// root package's Envelope, one for one, so that one converts to the other
// without a copy. Envelope documents each of them.
type Event struct {
	// ID, Source and Type are required; an empty one of the others is an unset
	// attribute.
	ID              string
	Source          string
	Type            string
	Subject         string
	DataContentType string
	DataSchema      string
	Time            time.Time

	// These are extensions that the bus itself uses; Extensions has all the others.
	CorrelationID string
	CausationID   string
	TraceParent   string
	TraceState    string
	Extensions    map[string]string

	Data        []byte
	Tombstone   bool
	Raw         bool
	Partitioner string

	// These describe the record, not the event.
	Topic           string
	Partition       int32
	Offset          int64
	Key             []byte
	Timestamp       time.Time
	Headers         []transport.Header
	AssignmentEpoch uint64

	// These come from the headers of a retry topic; zero for a first delivery.
	Redeliveries int
	Origin       transport.Position

	Shredded bool
}
