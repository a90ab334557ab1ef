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
// Handlers get one with [EnvelopeFrom]. Its Data, Key and Headers, and the
// Envelope itself, are in memory that is reused when the handler returns:
// [Envelope.Clone] anything that must live longer. Strings and Extensions may be
// kept. An Envelope is safe for concurrent reading.
type Envelope struct {
	// ID and Source together identify the event (CloudEvents 3.1.1).
	ID     string
	Source string
	// Type says what happened; it chooses the handler.
	Type            string
	Subject         string
	DataContentType string
	DataSchema      string
	// Time is when it happened according to its producer; zero if unknown.
	Time time.Time

	// CorrelationID and CausationID are the extensions correlationid and
	// causationid: the flow that the event belongs to, such as one order, and
	// the id of the event that caused this one.
	CorrelationID string
	CausationID   string
	// TraceParent and TraceState are the distributed tracing extension: the
	// trace that the event was created in, however many hops ago.
	TraceParent string
	TraceState  string
	// Extensions are all other extension attributes, in CloudEvents' string
	// form.
	Extensions map[string]string

	// Data is the encoded event: nil with Tombstone, empty for an event without
	// data, however it was written.
	Data []byte
	// Tombstone says that the record has no value: its key is deleted.
	Tombstone bool
	// Raw says that Data is the record's value as it is to be written, and Headers
	// all its headers: the event of a topic with another Format, as
	// [Publisher.Envelope] returns it. Envelopes that are read are never raw.
	Raw bool
	// Partitioner names the topic's partitioner, as [Partitioner.String] does; empty
	// is the default one. Only [Publisher.Envelope] sets it.
	Partitioner string

	// Topic is the full name of the Kafka topic; Partition, Offset and
	// Timestamp are the record's. Timestamp is zero if the record has none. Key
	// is nil for a record without one; an empty key is a key.
	Topic     string
	Partition int32
	Offset    int64
	Key       []byte
	Timestamp time.Time
	// Headers are the record's headers that are not CloudEvents attributes, in
	// their order.
	Headers []transport.Header
	// AssignmentEpoch grows with every change of the partition's owner within
	// one consumer. It is the fencing token for stores that outlive one.
	AssignmentEpoch uint64

	// Redeliveries counts how often the event came back from the dead-letter
	// topic, and Origin is where it was first read. Both are zero for a live
	// event.
	Redeliveries int
	Origin       transport.Position

	// Shredded reports whether personal data of the event is missing because the key
	// that it was encrypted with was deleted; see package personal. A codec sets it when
	// the data is decoded.
	Shredded bool
}

// The wire's event has the same fields, so that one converts to the other
// without a copy; this stops compiling when they drift apart.
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

// String names the event and its place, for logs: long names are shortened. It
// never shows data, key or headers.
func (e *Envelope) String() string {
	kind := telemetry.ClippedName(e.Type)
	if e.Tombstone {
		kind = "tombstone"
	}
	return fmt.Sprintf("%s %q from %q at %s/%d@%d (%d bytes)", kind, telemetry.ClippedName(e.ID), telemetry.ClippedName(e.Source), e.Topic, e.Partition, e.Offset, len(e.Data))
}
