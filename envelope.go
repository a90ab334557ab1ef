package eventbus

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// Envelope is one event as CloudEvents 1.0 describes it, with its data still
// encoded, together with the record that carries it.
//
// A handler gets its event's envelope by [EnvelopeFrom]. The Envelope, its Data, Key and
// Headers are in memory that is reused once the handler returns: [Envelope.Clone] what
// must live longer. Strings and Extensions may be kept. An Envelope is safe for
// concurrent reading.
type Envelope struct {
	// ID and Source together identify the event (CloudEvents 3.1.1).
	ID     string
	Source string
	// Type says what happened; it chooses the handler.
	Type            string
	Subject         string
	DataContentType string
	DataSchema      string
	// Time is when the event happened according to its producer; zero if unknown.
	Time time.Time

	// CorrelationID and CausationID are the extensions correlationid and causationid.
	// The first identifies the flow that the event belongs to, such as one order; the
	// second is the id of the event that caused this one.
	CorrelationID string
	CausationID   string
	// TraceParent and TraceState are the distributed tracing extension: the trace in
	// which the event was created, however many hops ago.
	TraceParent string
	TraceState  string
	// Extensions are all other extension attributes, in CloudEvents' string
	// form.
	Extensions map[string]string

	// Data is the encoded event: nil for a tombstone, and empty, never nil, for an event
	// without data.
	Data []byte
	// Tombstone says that the record has no value: its key is deleted.
	Tombstone bool
	// Raw says that Data is the record's value as it is to be written, and Headers are
	// all its headers: the event of a topic with another Format, as returned by
	// [Publisher.Envelope]. Envelopes that were read are never raw.
	Raw bool
	// Partitioner names the topic's partitioner, as [Partitioner.String] does; empty
	// means the default. Only [Publisher.Envelope] sets it.
	Partitioner string

	// Topic is the full name of the Kafka topic. Partition, Offset and Timestamp are the
	// record's; Timestamp is zero if it has none. Key is nil for a record without one;
	// an empty key is a key.
	Topic     string
	Partition int32
	Offset    int64
	Key       []byte
	Timestamp time.Time
	// Headers are the record's headers that are not CloudEvents attributes, in order.
	Headers []transport.Header
	// AssignmentEpoch grows each time the partition changes hands within one consumer.
	// It is the fencing token for stores that outlive one. A static member that returns
	// within its session begins with its former epochs, so it is not told from its former
	// process by them.
	AssignmentEpoch uint64

	// Redeliveries counts how often the event came back from the dead-letter topic, and
	// Origin is where it was first read. Both are zero for a live event.
	Redeliveries int
	Origin       transport.Position

	// Shredded reports whether personal data is missing from the event because the key
	// that encrypted it was deleted; see package personal. A codec sets it while
	// decoding.
	Shredded bool
}

// wire.Event has the same fields, so that one converts to the other without a copy. This
// stops compiling if they drift apart.
var _ = (*Envelope)((*wire.Event)(nil))

// Clone returns a deep copy, which owns all its memory.
func (e *Envelope) Clone() *Envelope {
	c := *e
	c.Extensions = maps.Clone(e.Extensions)
	c.Data = bytes.Clone(e.Data)
	c.Key = bytes.Clone(e.Key)
	c.Headers = slices.Clone(e.Headers)
	for i := range c.Headers {
		c.Headers[i].Key = strings.Clone(c.Headers[i].Key)
		c.Headers[i].Value = bytes.Clone(c.Headers[i].Value)
	}
	return &c
}

// String returns the event's name and place for logs; it shortens long names. It never
// shows data, key or headers.
func (e *Envelope) String() string {
	kind := telemetry.ClippedName(e.Type)
	if e.Tombstone {
		kind = "tombstone"
	}
	return fmt.Sprintf("%s %q from %q at %s/%d@%d (%d bytes)", kind, telemetry.ClippedName(e.ID), telemetry.ClippedName(e.Source), e.Topic, e.Partition, e.Offset, len(e.Data))
}
