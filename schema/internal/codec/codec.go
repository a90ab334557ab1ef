// Package codec is what the codecs of the three formats share: finding the schema to
// write with, framing, and a reader for each schema that events name.
//
// A format knows one schema language and one Go type. The codec gets from it an encoder
// per topic and a decoder per schema, and keeps both: after the first event, an event
// costs no lock, and no more allocations than its value, except for the list of headers
// of Header framing.
//
// codec.go encodes and decodes, write.go finds the schema to write with, read.go keeps
// the readers.
package codec

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/registry"
)

// Format is one schema language and one Go type. Its methods, and what they return, must
// be safe for concurrent use.
type Format interface {
	ContentType() string
	// Record is the full name of the schema's type, for subjects.
	Record() string
	// Definition is the codec's own schema, without references.
	Definition() registry.Definition
	// Text is the codec's own schema as JSON, with everything that is needed to
	// understand it.
	Text() string
	// Refers reports whether the text of a schema refers to another by name.
	Refers(text, name string) bool
	// Index is the message indexes that go with the id of a schema of the
	// registry, nil for formats that have none.
	Index(s *registry.Schema) ([]byte, error)
	// ZeroFirst reports whether a plain value may begin with a zero byte.
	ZeroFirst() bool
	// Writer returns what encodes by a schema of the registry, the codec's own
	// for nil. Load gives the schemas that it refers to.
	Writer(s *registry.Schema, load Load) (Encoder, error)
	// Reader returns what decodes data that was written by a schema of the
	// registry, the codec's own for nil. Index is that of the event.
	Reader(s *registry.Schema, load Load) (Decoder, error)
}

const (
	// referencesKeyword is the keyword in a schema's text for the schemas it refers to.
	referencesKeyword = "x-eventbus-references"
	// unnamedKeyword is the keyword that says that events name no schema.
	unnamedKeyword = "x-eventbus-unnamed"
)

// WithReferences returns a schema in JSON that includes the schemas it refers to: a
// catalogue sees a change of any of them.
func WithReferences(text string, references []registry.Dependency) string {
	text = strings.TrimSpace(text)
	if len(references) == 0 || !strings.HasPrefix(text, "{") {
		return text
	}
	all := make([]json.RawMessage, len(references))
	for i, r := range references {
		all[i] = json.RawMessage(r.Text)
	}
	inside, err := json.Marshal(all)
	if err != nil {
		return text // the codec has parsed them
	}
	return `{"` + referencesKeyword + `":` + string(inside) + "," + text[1:]
}

// Load returns the schema that a reference names.
type Load func(registry.Reference) (*registry.Schema, error)

// Encoder appends the data of v, a pointer to the codec's type.
type Encoder func(dst []byte, v any) ([]byte, error)

// Decoder decodes data into v. index is the message indexes of a header, still encoded;
// prefixed data begins with its own, if the format has them.
type Decoder func(data, index []byte, prefixed bool, v any) error

// codec is an eventbus.Codec. The topic of the last event and the schema of the last one
// read are found without a lock, since nearly all codecs have one of each.
type codec struct {
	registry *registry.Registry // nil with None framing alone
	framing  registry.Framing
	format   Format
	options  registry.Options
	own      Encoder

	last    atomic.Pointer[writer]
	mu      sync.Mutex
	writers map[string]*writer // by topic
	readers readers
}

// New returns the codec of a format. It panics on a faulty declaration.
func New(name string, r *registry.Registry, f registry.Framing, format Format, o registry.Options) eventbus.Codec {
	fail := func(why string) { panic("eventbus: " + name + ": " + why) }
	switch {
	case f != registry.Header && f != registry.Prefix && f != registry.None:
		fail("the framing is " + f.String() + ": write registry.Header, registry.Prefix or registry.None")
	case r == nil && f != registry.None:
		fail("framing " + f.String() + " needs a registry: the ids are its")
	case r == nil && (o.Register || o.Latest || o.ID != 0):
		fail("Register, UseLatest and UseID need a registry")
	case o.Latest && o.ID != 0:
		fail("UseLatest and UseID are both set: keep one")
	case o.Register && (o.Latest || o.ID != 0):
		fail("Register is set, and UseLatest or UseID writes by another schema: keep one")
	}
	// The own encoder and decoder need no registry. They are made now, so that a
	// declaration which can't work is found where it stands.
	own, err := format.Writer(nil, nil)
	if err != nil {
		fail(err.Error())
	}
	c := &codec{registry: r, framing: f, format: format, options: o, own: own, writers: make(map[string]*writer)}
	c.readers.most = mostReaders
	if c.readers.own, err = format.Reader(nil, nil); err != nil {
		fail(err.Error())
	}
	return c
}

func (c *codec) ContentType() string { return c.format.ContentType() }

// SchemaText returns the codec's own schema, for catalogues: what a service declares,
// whatever the registry has. Avro data can be read only by its writer's schema, so the text says
// if events don't name that.
func (c *codec) SchemaText() string {
	text := c.format.Text()
	if object := strings.TrimSpace(text); !c.names() && c.format.Definition().Type == registry.Avro && strings.HasPrefix(object, "{") {
		return `{"` + unnamedKeyword + `":true,` + object[1:]
	}
	return text
}

// names reports whether events name the schema that they are written with.
func (c *codec) names() bool {
	return c.registry != nil && (c.framing != registry.None || c.options.Register || c.options.Latest || c.options.ID != 0)
}

// Start finds the schema to write by, so that one that is missing is an error of
// the bus's start.
func (c *codec) Start(ctx context.Context, topic string) error {
	_, err := c.writer(ctx, topic)
	return err
}

// Encode names the schema as the framing says, and by dataschema too, which readers that
// know CloudEvents alone understand. A dataschema that the publisher has set stays.
func (c *codec) Encode(ctx context.Context, dst []byte, e *eventbus.Envelope, v any) ([]byte, error) {
	// Publish is called for one topic after the other by a codec that several share, and
	// then the map is looked into.
	w := c.last.Load()
	if w == nil || w.topic != e.Topic {
		var err error
		if w, err = c.writer(ctx, e.Topic); err != nil {
			return dst, err
		}
	}
	// A topic that declares its dataschema has a reason; ours would only be its number.
	if e.DataSchema == "" {
		e.DataSchema = w.uri
	}
	switch c.framing {
	case registry.Header:
		// The header's value is shared by all events of the writer: nobody changes it.
		e.Headers = append(e.Headers, w.header)
	case registry.Prefix:
		dst = append(dst, w.prefix...)
	}
	return w.encode(dst, v)
}

// Decode reads what any of the framings has written. Whether a leading zero byte is a
// prefix is known from what the codec was declared with, or from a format whose values
// never begin so.
func (c *codec) Decode(ctx context.Context, e *eventbus.Envelope, v any) error {
	prefixes := c.registry != nil && (c.framing != registry.None || !c.format.ZeroFirst())
	frame, err := c.registry.Read(e, prefixes)
	if err != nil {
		return err
	}
	// Plain data of a topic that went from None to Header may begin with a zero byte too.
	// A prefix of this module's names the schema that dataschema names.
	if c.framing == registry.Header && len(frame.Value) < len(e.Data) {
		if named, err := c.registry.Read(e, false); err == nil && named.ID != (registry.ID{}) && named.ID != frame.ID {
			frame = named
		}
	}
	// By another schema than the writer's, Avro reads other values without noticing.
	if frame.ID == (registry.ID{}) && c.registry != nil && c.format.ZeroFirst() && registry.NamesSchema(e.DataSchema) {
		return fmt.Errorf("dataschema %.200q names a schema at none of the registry's URLs: add that address to them", e.DataSchema)
	}
	decode, err := c.reader(ctx, frame.ID)
	if err != nil {
		return err
	}
	if err := decode(frame.Value, frame.Index, len(frame.Value) < len(e.Data), v); err != nil {
		// The id is what helps to find the writer: the error may be in its schema.
		if frame.ID != (registry.ID{}) {
			return fmt.Errorf("data of schema id %s: %w", frame.ID, err)
		}
		return err
	}
	return nil
}
