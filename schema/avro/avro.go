package avro

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/twmb/avro"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/internal/avroschema"
	"github.com/eventbus-go/eventbus/schema/internal/codec"
	"github.com/eventbus-go/eventbus/schema/registry"
)

// ContentType is the datacontenttype of the events.
const ContentType = "application/avro"

// Codec returns a codec for T with an Avro schema. The registry may be nil with
// framing None. With framing Prefix the data is not plain Avro, although its content
// type says so: only clients that know the prefix can read it.
//
// Like eventbus.NewTopic it panics on a faulty declaration: if the schema can't be
// parsed, is not a named type, or has a field that T does not fit.
func Codec[T any](r *registry.Registry, f registry.Framing, schema string, options ...registry.Option) eventbus.Codec {
	goType := reflect.TypeFor[T]()
	name := "avro.Codec[" + goType.String() + "]"
	o := registry.Collect(options)
	format, err := newFormat(goType, schema, o.Dependencies)
	if err != nil {
		panic("eventbus: " + name + ": " + err.Error())
	}
	return codec.New(name, r, f, format, o)
}

// SchemaFor returns an Avro schema made from the fields of T, for a codec or as the
// start of a file. Fields tagged data:"personal" have the property x-eventbus-personal.
// It panics if Avro has no type for T.
func SchemaFor[T any](options ...avro.SchemaOpt) string {
	return withPersonal(avro.MustSchemaFor[T](options...).String(), reflect.TypeFor[T]())
}

// format is a codec.Format for one Avro schema and one Go type.
type format struct {
	text         string
	record       string
	schema       *avro.Schema
	dependencies []registry.Dependency
	goType       reflect.Type
}

// newFormat parses the dependencies first, since the codec's own schema uses their
// names.
func newFormat(t reflect.Type, text string, dependencies []registry.Dependency) (*format, error) {
	var names avro.SchemaCache
	for _, d := range dependencies {
		if _, err := names.Parse(d.Text); err != nil {
			return nil, fmt.Errorf("the schema %s: %w", d.Name, err)
		}
	}
	schema, err := names.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the schema: %w", err)
	}
	root := schema.Root()
	if root.Name == "" {
		return nil, fmt.Errorf("the schema is %s without a name: events are records", root.Type)
	}
	f := &format{text: text, record: root.Name, schema: schema, dependencies: dependencies, goType: t}
	if root.Namespace != "" {
		f.record = root.Namespace + "." + root.Name
	}
	return f, f.fits(t)
}

// fits encodes an empty value, so that a field that T lacks is found when the codec is
// declared rather than by the first event.
func (f *format) fits(t reflect.Type) error {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	v := reflect.New(t)
	fill(v.Elem(), 0)
	if _, err := f.schema.AppendEncode(nil, v.Interface()); err != nil && structural(err) {
		return fmt.Errorf("%s does not fit the schema: %w", t, err)
	}
	return nil
}

func (f *format) ContentType() string { return ContentType }

func (f *format) Record() string { return f.record }

func (f *format) Definition() registry.Definition {
	return registry.Definition{Type: registry.Avro, Text: f.text}
}

// Text returns the schema with the personal fields of the Go type marked. The registry
// gets the schema as its author wrote it, since it is looked up by its text.
func (f *format) Text() string {
	return withPersonal(codec.WithReferences(f.text, f.dependencies), f.goType)
}

func (f *format) Index(*registry.Schema) ([]byte, error) { return nil, nil }

func (f *format) Refers(text, name string) bool { return strings.Contains(text, name) }

func (f *format) ZeroFirst() bool { return true }

// Writer encodes with the registry's schema if one is given. Whether the Go type fits
// that schema shows only with the first event.
func (f *format) Writer(s *registry.Schema, load codec.Load) (codec.Encoder, error) {
	schema := f.schema
	if s != nil {
		var err error
		if schema, err = avroschema.Parse(s, load, deepest); err != nil {
			return nil, err
		}
	}
	return func(dst []byte, v any) ([]byte, error) { return schema.AppendEncode(dst, v) }, nil
}

// Reader resolves the writer's schema against the codec's own once, for all events of
// the writer. An error names the field that can't be resolved.
func (f *format) Reader(s *registry.Schema, load codec.Load) (codec.Decoder, error) {
	schema := f.schema
	if s != nil {
		writer, err := avroschema.Parse(s, load, deepest)
		if err != nil {
			return nil, err
		}
		if schema, err = avro.Resolve(writer, f.schema); err != nil {
			return nil, fmt.Errorf("its data can't be read by the schema of this service: %w", err)
		}
		if err := checkUnits(writer, f.schema); err != nil {
			return nil, fmt.Errorf("its data can't be read by the schema of this service: %w", err)
		}
	}
	return func(data, _ []byte, _ bool, v any) error {
		rest, err := schema.Decode(data, v)
		if err == nil && len(rest) > 0 {
			return fmt.Errorf("%d bytes are left after the value: it was written with another schema or another framing", len(rest))
		}
		return err
	}, nil
}

// deepest bounds the references between schemas, and pointers to pointers.
const deepest = 32
