package wire

import (
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// Encoder encodes events into records. It reuses the memory of headers and
// structured values, so a record is valid until the Encoder's next use; a
// producer copies what it keeps. The zero Encoder is ready. It must not be used
// concurrently, and may be pooled.
type Encoder struct {
	buf []byte
	// headers and names are reused; records refer to headers.
	headers []transport.Header
	names   []string
	// keys has the header key of each extension name.
	keys map[string]string
	// passed saves checking what did not change since the last event.
	passed passed
}

// versionBytes is shared by all records: nobody may change it.
var versionBytes = []byte(version)

// Binary fills rec with ev in binary mode (binding 3.2), for any partition. The
// record's time is ev's Timestamp; if that is zero, the producer sets it. Value
// and Key share ev's memory. ev must have passed Check.
//
// An event without data that is not a tombstone gets an empty value: binding
// 3.2.2 would give it none, which a reader couldn't distinguish from a deletion
// of its key.
//
// The key is ev's; if that is nil it is the partitionkey extension, which stays
// in the event as well (binding 3.1).
func (e *Encoder) Binary(ev *Event, rec *transport.Record) {
	e.reset()
	e.headers = append(e.headers, transport.Header{Key: prefix + specVersion, Value: versionBytes})
	e.add(prefix+id, ev.ID)
	e.add(prefix+source, ev.Source)
	e.add(prefix+typ, ev.Type)
	if !ev.Time.IsZero() {
		from := len(e.buf)
		e.buf = Writable(ev.Time).AppendFormat(e.buf, time.RFC3339Nano)
		e.headers = append(e.headers, transport.Header{Key: prefix + timestamp, Value: e.buf[from:len(e.buf):len(e.buf)]})
	}
	e.add(contentType, ev.DataContentType)
	e.add(prefix+dataSchema, ev.DataSchema)
	e.add(prefix+subject, ev.Subject)
	e.add(prefix+correlationID, ev.CorrelationID)
	e.add(prefix+causationID, ev.CausationID)
	e.add(prefix+traceParent, ev.TraceParent)
	e.add(prefix+traceState, ev.TraceState)
	// An empty extension is written too: it was set on purpose.
	for _, name := range e.sortedNames(ev) {
		e.addAlways(e.key(name), ev.Extensions[name])
	}
	e.fill(ev, rec)
	switch {
	case ev.Tombstone:
	case ev.Data == nil:
		rec.Value = []byte{}
	default:
		rec.Value = ev.Data
	}
}

// reset prepares for the next event. The old headers are cleared because they
// refer to the previous event's memory.
func (e *Encoder) reset() {
	clear(e.headers)
	e.buf, e.headers = e.buf[:0], e.headers[:0]
}

// add appends an attribute, unless it is empty and so unset.
func (e *Encoder) add(key, value string) {
	if value != "" {
		e.addAlways(key, value)
	}
}

// addAlways appends a header. When buf grows, earlier headers keep the old
// memory, which has the same bytes.
func (e *Encoder) addAlways(key, value string) {
	from := len(e.buf)
	e.buf = append(e.buf, value...)
	e.headers = append(e.headers, transport.Header{Key: key, Value: e.buf[from:len(e.buf):len(e.buf)]})
}

// fill sets the fields that both modes have in common. Plain headers come last,
// as in other clients.
func (e *Encoder) fill(ev *Event, rec *transport.Record) {
	e.headers = append(e.headers, ev.Headers...)
	*rec = transport.Record{
		Topic:       ev.Topic,
		Partition:   transport.AnyPartition,
		Key:         ev.Key,
		Headers:     e.headers,
		Time:        ev.Timestamp,
		LeaderEpoch: -1,
	}
	if rec.Key == nil {
		if key := ev.Extensions[PartitionKey]; key != "" {
			rec.Key = []byte(key)
		}
	}
}

// sortedNames returns the names of the extensions in order, so that equal events
// make equal records.
func (e *Encoder) sortedNames(ev *Event) []string {
	e.names = e.names[:0]
	for name := range ev.Extensions {
		e.names = append(e.names, name)
	}
	slices.Sort(e.names)
	return e.names
}

// key returns the header key of an extension. Keys are kept to save their
// allocation, up to a bound, since names may come from outside.
func (e *Encoder) key(name string) string {
	if key, ok := e.keys[name]; ok {
		return key
	}
	key := prefix + name
	if e.keys == nil {
		e.keys = make(map[string]string)
	}
	const most = 64
	if len(e.keys) < most {
		e.keys[name] = key
	}
	return key
}
