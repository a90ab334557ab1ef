package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport"
)

// format is the version of a row's attributes. formatRaw is that of a row with the
// record's own value and headers, for a topic whose format a relay does not know. A
// relay parks rows of a higher format: a newer program wrote them.
const (
	format    = 1
	formatRaw = 2
)

// row is an event in the tables. It has everything that a relay needs, so that relays
// need no declarations.
type row struct {
	id         int64
	format     int16
	eventID    string
	topic      string
	key, value []byte // a nil key means no key, a nil value a tombstone
	// partitioner names how the partition is chosen, as Envelope.Partitioner does; empty
	// is the Java client's murmur2. A relay that does not know it parks the row.
	partitioner string
	attributes  []byte
	table       uint32 // the table's oid: of a partitioned outbox, that of the partition
}

// The tags of the attributes. Each field is a tag, the length as a uvarint, and the
// bytes.
const (
	tagSource = iota + 1
	tagType
	tagSubject
	tagContentType
	tagDataSchema
	tagTime // RFC 3339
	tagCorrelation
	tagCausation
	tagTraceParent
	tagTraceState
	tagExtension // the name, a zero byte, the value
	tagHeader    // the key, a zero byte, the value; a key with a zero byte can't be stored
)

// newRow turns an envelope into a row. The row shares the envelope's memory.
func newRow(e *eventbus.Envelope) (row, error) {
	// The database would refuse these and abort the caller's transaction.
	for _, text := range [...]string{e.ID, e.Topic, e.Partitioner} {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return row{}, fmt.Errorf("%q can't be stored as text: it has a zero byte or is not UTF-8", text)
		}
	}
	r := row{format: format, eventID: e.ID, topic: e.Topic, key: e.Key, value: e.Data, partitioner: e.Partitioner}
	if e.Raw {
		r.format = formatRaw
	} else if key := e.Extensions["partitionkey"]; key != "" && r.key == nil && !e.Tombstone {
		r.key = []byte(key) // the record gets the same key, so its events have an order too
	}
	// Kafka distinguishes a tombstone from an event without data, and so must the
	// table: NULL or empty bytes.
	if e.Tombstone {
		r.value = nil
	} else if r.value == nil {
		r.value = []byte{}
	}
	if err := r.check(); err != nil {
		return row{}, err
	}
	// Room for the attributes of most events, in one allocation.
	b := make([]byte, 0, 256)
	for _, f := range [...]struct {
		tag   byte
		value string
	}{
		{tagSource, e.Source}, {tagType, e.Type}, {tagSubject, e.Subject}, {tagContentType, e.DataContentType},
		{tagDataSchema, e.DataSchema}, {tagCorrelation, e.CorrelationID}, {tagCausation, e.CausationID},
		{tagTraceParent, e.TraceParent}, {tagTraceState, e.TraceState},
	} {
		// An omitted field is read as empty.
		if f.value != "" {
			b = appendField(b, f.tag, f.value)
		}
	}
	if !e.Time.IsZero() {
		b = appendField(b, tagTime, e.Time.Format(time.RFC3339Nano))
	}
	// Sorted, so that an envelope always gives the same bytes.
	for _, name := range slices.Sorted(maps.Keys(e.Extensions)) {
		b = appendField(b, tagExtension, name+"\x00"+e.Extensions[name])
	}
	for _, h := range e.Headers {
		if slices.Contains([]byte(h.Key), 0) {
			return row{}, fmt.Errorf("the header %q has a zero byte in its key", h.Key)
		}
		b = appendField(b, tagHeader, h.Key+"\x00"+string(h.Value))
	}
	r.attributes = b
	return r, nil
}

// maxTopic is the length limit of Kafka's topic names.
const maxTopic = 249

// notOfTopic reports whether a topic's name must not contain r.
func notOfTopic(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
}

// check refuses what no cluster accepts. The bus refuses it too, but for the relay
// that would be an error of the whole batch, at every attempt.
func (r *row) check() error {
	switch {
	case r.topic == "" || len(r.topic) > maxTopic || r.topic == "." || r.topic == ".." || strings.ContainsFunc(r.topic, notOfTopic):
		return fmt.Errorf("%.300q is not a valid Kafka topic name", r.topic)
	case r.key == nil && r.value == nil:
		return errors.New("a tombstone without a key deletes nothing")
	}
	return nil
}

// appendField appends a field of the attributes.
func appendField(b []byte, tag byte, value string) []byte {
	b = binary.AppendUvarint(append(b, tag), uint64(len(value)))
	return append(b, value...)
}

// errNewer means that a newer program wrote the row.
var errNewer = errors.New("the row was written by a newer version: update the relay")

// envelope turns a row back into the envelope.
func (r *row) envelope() (*eventbus.Envelope, error) {
	if r.format != format && r.format != formatRaw || !eventbus.KnowsPartitioner(r.partitioner) {
		return nil, fmt.Errorf("format %d, partitioner %q: %w", r.format, r.partitioner, errNewer)
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	e := &eventbus.Envelope{ID: r.eventID, Topic: r.topic, Key: r.key, Data: r.value, Tombstone: r.value == nil, Raw: r.format == formatRaw, Partitioner: r.partitioner}
	for b := r.attributes; len(b) > 0; {
		tag := b[0]
		n, w := binary.Uvarint(b[1:])
		// The length is checked before it is used: the row may be damaged.
		if w <= 0 || n > uint64(len(b)-1-w) {
			return nil, errors.New("the row's attributes are damaged")
		}
		value := string(b[1+w : 1+w+int(n)])
		b = b[1+w+int(n):]
		if err := set(e, tag, value); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// set sets the attribute of one field. An unknown tag is an error: skipping it would
// lose what a newer program wrote.
func set(e *eventbus.Envelope, tag byte, value string) (err error) {
	switch tag {
	case tagSource:
		e.Source = value
	case tagType:
		e.Type = value
	case tagSubject:
		e.Subject = value
	case tagContentType:
		e.DataContentType = value
	case tagDataSchema:
		e.DataSchema = value
	case tagTime:
		e.Time, err = time.Parse(time.RFC3339Nano, value)
	case tagCorrelation:
		e.CorrelationID = value
	case tagCausation:
		e.CausationID = value
	case tagTraceParent:
		e.TraceParent = value
	case tagTraceState:
		e.TraceState = value
	case tagExtension, tagHeader:
		// The first zero byte ends the name. The value may contain more.
		i := 0
		for i < len(value) && value[i] != 0 {
			i++
		}
		if i == len(value) {
			return errors.New("the row's attributes are damaged")
		}
		if tag == tagHeader {
			e.Headers = append(e.Headers, transport.Header{Key: value[:i], Value: []byte(value[i+1:])})
			return nil
		}
		if e.Extensions == nil {
			e.Extensions = make(map[string]string)
		}
		e.Extensions[value[:i]] = value[i+1:]
	default:
		return fmt.Errorf("attribute %d: %w", tag, errNewer)
	}
	return err
}

// keyID identifies the row's key across all topics, and reports whether it has one.
func (r *row) keyID() (string, bool) { return keyID(r.topic, r.key), r.key != nil }

// keyID joins a topic and a key. Topics have no zero bytes, so the result is unique.
func keyID(topic string, key []byte) string { return topic + "\x00" + string(key) }
