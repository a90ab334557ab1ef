// Package codec is the common part of the codecs of the three formats: finding the
// schema to write with, framing, and a reader for each schema that events name.
//
// A format knows one schema language and one Go type. The codec gets from it an
// encoder for each topic and a decoder for each schema, and keeps them. After the
// first one, an event takes no lock, and allocates only its value and, with Header
// framing, the list of headers.
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
	// Record returns the full name of the schema's type, for subjects.
	Record() string
	// Definition returns the codec's own schema, without references.
	Definition() registry.Definition
	// Text returns the codec's own schema as JSON, including the schemas that it
	// refers to.
	Text() string
	// Refers reports whether the text of a schema refers to another by name.
	Refers(text, name string) bool
	// Index returns the message indexes to write after the id of a schema of the
	// registry, or nil if the format has none.
	Index(s *registry.Schema) ([]byte, error)
	// ZeroFirst reports whether a plain value may begin with a zero byte.
	ZeroFirst() bool
	// Writer returns an encoder for a schema of the registry, or for the codec's own
	// if s is nil. load returns the schemas that s refers to.
	Writer(s *registry.Schema, load Load) (Encoder, error)
	// Reader returns a decoder for data that was written with a schema of the
	// registry, or with the codec's own if s is nil.
	Reader(s *registry.Schema, load Load) (Decoder, error)
}

const (
	// referencesKeyword is the keyword in a schema's text for the schemas it refers to.
	referencesKeyword = "x-eventbus-references"
	// unnamedKeyword is the keyword that says that events name no schema.
	unnamedKeyword = "x-eventbus-unnamed"
)

// WithReferences returns a JSON schema that includes the schemas it refers to, so that
// a catalogue sees a change of any of them.
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

// codec is an eventbus.Codec. It finds the topic and the schema of the last event
// without a lock, since nearly all codecs have only one of each.
type codec struct {
	registry *registry.Registry // may be nil with None framing
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
		fail("framing " + f.String() + " needs a registry, which gives the ids")
	case r == nil && (o.Register || o.Latest || o.ID != 0):
		fail("Register, UseLatest and UseID need a registry")
	case o.Latest && o.ID != 0:
		fail("UseLatest and UseID are both set: keep one")
	case o.Register && (o.Latest || o.ID != 0):
		fail("Register is set, and UseLatest or UseID writes with another schema: keep one")
	}
	// The codec's own encoder and decoder need no registry. They are made now, so that
	// a faulty declaration panics here.
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

// SchemaText returns the codec's own schema, for catalogues: what the service
// declares, whatever the registry has. Avro data can be read only with its writer's
// schema, so the text says if events don't name it.
func (c *codec) SchemaText() string {
	text := c.format.Text()
	if object := strings.TrimSpace(text); !c.names() && c.format.Definition().Type == registry.Avro && strings.HasPrefix(object, "{") {
		return `{"` + unnamedKeyword + `":true,` + object[1:]
	}
	return text
}

// names reports whether events name their schema.
func (c *codec) names() bool {
	return c.registry != nil && (c.framing != registry.None || c.options.Register || c.options.Latest || c.options.ID != 0)
}

// Start finds the schema to write with, so that a missing schema is an error of the
// bus's start.
func (c *codec) Start(ctx context.Context, topic string) error {
	_, err := c.writer(ctx, topic)
	return err
}

// Encode names the schema as the framing says, and in dataschema for readers that only
// know CloudEvents. It does not change a dataschema that is set.
func (c *codec) Encode(ctx context.Context, dst []byte, e *eventbus.Envelope, v any) ([]byte, error) {
	// Only a codec of several topics needs the map.
	w := c.last.Load()
	if w == nil || w.topic != e.Topic {
		var err error
		if w, err = c.writer(ctx, e.Topic); err != nil {
			return dst, err
		}
	}
	// A declared dataschema takes precedence over the registry's URI.
	if e.DataSchema == "" {
		e.DataSchema = w.uri
	}
	switch c.framing {
	case registry.Header:
		// All events of the writer share the header's value, which nobody changes.
		e.Headers = append(e.Headers, w.header)
	case registry.Prefix:
		dst = append(dst, w.prefix...)
	}
	return w.encode(dst, v)
}

// Decode reads events of all framings. A leading zero byte is a prefix if the codec's
// framing is not None, or if the format's values never begin with one.
func (c *codec) Decode(ctx context.Context, e *eventbus.Envelope, v any) error {
	prefixes := c.registry != nil && (c.framing != registry.None || !c.format.ZeroFirst())
	frame, err := c.registry.Read(e, prefixes)
	if err != nil {
		return err
	}
	// Plain data of a topic that changed from None to Header may begin with a zero
	// byte too. In events of this module, a prefix names the same schema as
	// dataschema.
	if c.framing == registry.Header && len(frame.Value) < len(e.Data) {
		if named, err := c.registry.Read(e, false); err == nil && named.ID != (registry.ID{}) && named.ID != frame.ID {
			frame = named
		}
	}
	// With another schema than the writer's, Avro reads wrong values without an error.
	if frame.ID == (registry.ID{}) && c.registry != nil && c.format.ZeroFirst() && registry.NamesSchema(e.DataSchema) {
		return fmt.Errorf("dataschema %.200q names a schema at none of the registry's URLs: add that address to them", e.DataSchema)
	}
	decode, err := c.reader(ctx, frame.ID)
	if err != nil {
		return err
	}
	if err := decode(frame.Value, frame.Index, len(frame.Value) < len(e.Data), v); err != nil {
		// The id helps to find the writer, whose schema may be wrong.
		if frame.ID != (registry.ID{}) {
			return fmt.Errorf("data of schema id %s: %w", frame.ID, err)
		}
		return err
	}
	return nil
}
