package jsonschema

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/internal/codec"
	"github.com/eventbus-go/eventbus/schema/registry"
)

// ContentType is the datacontenttype of the events.
const ContentType = "application/json"

// Codec returns a codec for T with a JSON Schema. The schema's title, or else the name
// of the Go type, names it in subjects. The registry may be nil with framing None.
// With registry.Validate each event is checked before it is written; events are never
// checked when they are read.
//
// Like eventbus.NewTopic it panics on a faulty declaration, such as an invalid schema.
func Codec[T any](r *registry.Registry, f registry.Framing, schema string, options ...registry.Option) eventbus.Codec {
	t := reflect.TypeFor[T]()
	name := "jsonschema.Codec[" + t.String() + "]"
	o := registry.Collect(options)
	format, err := newFormat(t, schema, o)
	if err != nil {
		panic("eventbus: " + name + ": " + err.Error())
	}
	return codec.New(name, r, f, format, o)
}

// format is a codec.Format for JSON with one schema.
type format struct {
	text         string
	record       string
	validate     bool
	dependencies []registry.Dependency
}

// newFormat compiles the schema even if it is not used for validation, so that a
// mistake is found when the codec is declared.
func newFormat(t reflect.Type, text string, o registry.Options) (*format, error) {
	var head struct {
		Title string `json:"title"`
	}
	if err := json.Unmarshal([]byte(text), &head); err != nil {
		return nil, fmt.Errorf("the schema is not a JSON object: %w", err)
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	f := &format{text: text, record: head.Title, validate: o.Validate, dependencies: o.Dependencies}
	if f.record == "" { // no title
		f.record = t.Name()
	}
	if f.record == "" {
		return nil, errors.New("the schema has no title and the type no name: give the schema a title")
	}
	_, err := f.compile()
	return f, err
}

// compile compiles the codec's own schema with its dependencies.
func (f *format) compile() (*jsonschema.Schema, error) {
	c := newCompiler()
	for _, d := range f.dependencies {
		if err := add(c, d.Name, d.Text); err != nil {
			return nil, fmt.Errorf("the schema %s: %w", d.Name, err)
		}
	}
	return compile(c, f.text)
}

func (f *format) ContentType() string { return ContentType }

func (f *format) Record() string { return f.record }

func (f *format) Definition() registry.Definition {
	return registry.Definition{Type: registry.JSON, Text: f.text}
}

func (f *format) Text() string { return codec.WithReferences(f.text, f.dependencies) }

func (f *format) Index(*registry.Schema) ([]byte, error) { return nil, nil }

func (f *format) Refers(text, name string) bool { return strings.Contains(text, name) }

func (f *format) ZeroFirst() bool { return false }

// Writer validates with the registry's schema if one is given, since events name that
// one.
func (f *format) Writer(s *registry.Schema, load codec.Load) (codec.Encoder, error) {
	if !f.validate {
		return encode, nil
	}
	schema, err := f.compile()
	if s != nil {
		schema, err = compileAll(s, load)
	}
	if err != nil {
		return nil, err
	}
	return func(dst []byte, v any) ([]byte, error) {
		from := len(dst)
		dst, err := encode(dst, v)
		if err != nil {
			return dst, err
		}
		return dst, check(schema, dst[from:])
	}, nil
}

// plain encodes and decodes the data: events with a schema are JSON events like all
// others.
var plain = eventbus.JSON()

// encode passes neither context nor envelope, which the JSON codec does not use.
func encode(dst []byte, v any) ([]byte, error) {
	return plain.Encode(context.Background(), dst, nil, v)
}

// envelopes pass the data, without a prefix, to the JSON codec, which uses nothing
// else of them.
var envelopes = sync.Pool{New: func() any { return new(eventbus.Envelope) }}

func (f *format) Reader(*registry.Schema, codec.Load) (codec.Decoder, error) {
	return func(data, _ []byte, _ bool, v any) error {
		e := envelopes.Get().(*eventbus.Envelope)
		e.Data = data
		err := plain.Decode(context.Background(), e, v)
		e.Data = nil
		envelopes.Put(e)
		return err
	}, nil
}

// check validates the encoded data, which is what readers get. The error names the
// place and the keyword, never the value.
func check(schema *jsonschema.Schema, data []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	var fault *jsonschema.ValidationError
	switch err := schema.Validate(value); {
	case err == nil:
		return nil
	case errors.As(err, &fault):
		return faultOf(fault)
	default:
		return err
	}
}
