package registry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport"
)

// Framing is how an event names its schema. The zero value is not a framing and is
// refused.
type Framing int

// The framings. The package documentation says who can read them.
const (
	Header Framing = iota + 1
	Prefix
	None
)

// String returns the framing's name.
func (f Framing) String() string {
	switch f {
	case Header:
		return "Header"
	case Prefix:
		return "Prefix"
	case None:
		return "None"
	}
	return "Framing(" + strconv.Itoa(int(f)) + ")"
}

// HeaderName is the record header that Header framing writes (as Confluent's
// serializers of version 8 and later do).
const HeaderName = "__value_schema_id"

// schemaPath is the path of schemas at a registry, before the id.
const schemaPath = "/schemas/ids/"

// The first byte of an id: a number of four bytes follows, or a GUID of sixteen.
const (
	magicNumber = 0
	magicGUID   = 1
)

// AppendPrefix appends what Prefix framing writes before a value. index is Protobuf's
// message indexes, otherwise nil.
func AppendPrefix(dst []byte, id int, index []byte) []byte {
	dst = append(dst, magicNumber)
	dst = binary.BigEndian.AppendUint32(dst, uint32(id))
	return append(dst, index...)
}

// HeaderOf returns the header that Header framing writes: the GUID if the registry has
// one, else the number. index is as in AppendPrefix.
func HeaderOf(s *Schema, index []byte) transport.Header {
	if guid, ok := parseGUID(s.GUID); ok {
		value := append([]byte{magicGUID}, guid[:]...)
		return transport.Header{Key: HeaderName, Value: append(value, index...)}
	}
	return transport.Header{Key: HeaderName, Value: AppendPrefix(nil, s.ID, index)}
}

// ParseID reads an id from the start of a header or a prefixed value, and returns
// what follows it.
func ParseID(b []byte) (id ID, rest []byte, err error) {
	switch {
	case len(b) >= 5 && b[0] == magicNumber:
		return ID{Number: int(binary.BigEndian.Uint32(b[1:]))}, b[5:], nil
	case len(b) >= 17 && b[0] == magicGUID:
		copy(id.GUID[:], b[1:])
		return id, b[17:], nil
	case len(b) == 0:
		return id, nil, errors.New("the schema id is empty")
	}
	return id, nil, fmt.Errorf("%d bytes that begin with %#02x are not a schema id", len(b), b[0])
}

// AppendIndex appends message indexes as Prefix framing writes them: the path to a
// message in a Protobuf file; for the first message, a single zero byte.
func AppendIndex(dst []byte, index []int) []byte {
	if len(index) == 1 && index[0] == 0 {
		return append(dst, 0)
	}
	dst = binary.AppendVarint(dst, int64(len(index)))
	for _, i := range index {
		dst = binary.AppendVarint(dst, int64(i))
	}
	return dst
}

// mostIndex bounds the depth of a nested message.
const mostIndex = 64

// ParseIndex reads message indexes and returns what follows them.
func ParseIndex(b []byte) (index []int, rest []byte, err error) {
	count, n := binary.Varint(b)
	if n <= 0 || count < 0 || count > mostIndex {
		return nil, nil, errors.New("the message indexes are malformed")
	}
	b = b[n:]
	if count == 0 {
		return []int{0}, b, nil
	}
	for range count {
		i, n := binary.Varint(b)
		if n <= 0 || i < 0 || i > 1<<20 {
			return nil, nil, errors.New("the message indexes are malformed")
		}
		index, b = append(index, int(i)), b[n:]
	}
	return index, b, nil
}

// Frame is how one event names its schema.
type Frame struct {
	ID    ID     // zero if it names none
	Index []byte // in a header, the bytes after the id
	Value []byte // the data, without a prefix
}

// Read finds the schema that an event names. prefixed says that a value that begins
// with a zero byte has a prefix.
func (r *Registry) Read(e *eventbus.Envelope, prefixed bool) (Frame, error) {
	// If there are several headers the last one counts, as with Kafka's lastHeader: a
	// forwarded event may still have that of its source.
	for i := len(e.Headers) - 1; i >= 0; i-- {
		if e.Headers[i].Key != HeaderName {
			continue
		}
		id, index, err := ParseID(e.Headers[i].Value)
		if err != nil {
			return Frame{}, fmt.Errorf("header %s: %w", HeaderName, err)
		}
		return Frame{ID: id, Index: index, Value: e.Data}, nil
	}
	if prefixed && len(e.Data) >= 5 && e.Data[0] == magicNumber {
		id, rest, err := ParseID(e.Data)
		return Frame{ID: id, Value: rest}, err
	}
	return Frame{ID: r.parseURI(e.DataSchema), Value: e.Data}, nil
}

// parseURI returns the id in a dataschema that SchemaURI made, at any of the
// registry's servers. Ids of another registry mean nothing here.
func (r *Registry) parseURI(uri string) ID {
	if r == nil || uri == "" {
		return ID{}
	}
	s, err := r.load()
	if err != nil {
		return ID{}
	}
	base, id := splitURI(uri)
	// With a directory and no servers, it is not known where the schemas came from.
	known := len(s.config.URLs) == 0
	for _, server := range s.config.URLs {
		known = known || strings.TrimSuffix(server, "/") == base
	}
	if !known {
		return ID{}
	}
	return id
}

// NamesSchema reports whether a dataschema has the form of a SchemaURI, of any
// registry.
func NamesSchema(uri string) bool {
	_, id := splitURI(uri)
	return id != ID{}
}

// splitURI returns the server and the id of a URI in the form of a SchemaURI, or a
// zero id for any other.
func splitURI(uri string) (base string, id ID) {
	at := strings.LastIndex(uri, schemaPath)
	if at < 0 {
		return "", ID{}
	}
	n, err := strconv.ParseUint(uri[at+len(schemaPath):], 10, 31)
	if err != nil {
		return "", ID{}
	}
	return uri[:at], ID{Number: int(n)}
}
