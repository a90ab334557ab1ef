package untyped

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/registry"
)

// Reader reads events by the schemas of one registry. It is safe for concurrent use. It
// keeps a decoder for each schema, at most 500.
type Reader struct {
	registry *registry.Registry
	mu       sync.Mutex
	decoders map[registry.ID]*decoder
	// failed is why the registry could not be reached; until is when it is asked
	// again.
	failed error
	until  time.Time
}

// New returns a reader. It asks the registry when an event names a schema that the reader
// has not seen.
func New(r *registry.Registry) *Reader {
	return &Reader{registry: r, decoders: make(map[registry.ID]*decoder)}
}

// Data is the data of an event, and what is known about it. It shares no memory with the
// event.
type Data struct {
	// ID identifies the schema. Schema is nil if it could not be found.
	ID     registry.ID
	Schema *registry.Schema
	// Record is the full name of the type in the schema, or "" for JSON.
	Record string
	// JSON is the data, or nil if it could not be decoded.
	JSON []byte

	decoder *decoder
}

// Fields returns a JSON Schema of JSON that says which fields there are, and marks
// personal ones with x-eventbus-personal; nil if that is not known. Avro and JSON Schema
// mark fields with the property x-eventbus-personal, true, or with Confluent's tag PII;
// Protobuf with the option debug_redact. The caller owns the result.
func (d *Data) Fields() map[string]any {
	if d.decoder == nil || d.decoder.fields == nil {
		return nil
	}
	return d.decoder.fields(d.Record)
}

// decoder decodes data of one schema. It never changes.
type decoder struct {
	schema *registry.Schema
	decode decode
	fields func(record string) fields // describes the data of one of its types
	err    error                      // the schema can't be used
}

// decode decodes data of a schema. index has the message indexes of a header; prefixed
// data begins with its own. typ is the event's type.
type decode = func(data, index []byte, prefixed bool, typ string) (record string, text []byte, err error)

const (
	// mostDecoders bounds the decoders that are kept, since events may have arbitrary
	// ids.
	mostDecoders = 500
	// downFor is how long an unreachable registry is not asked again, so that reading
	// a list of events does not time out for each.
	downFor = 10 * time.Second
	// MaxJSON bounds the JSON of one event, in bytes.
	MaxJSON = 16 << 20
)

// Read returns the data of an event that names a schema: by its header, by the prefix of
// its value, or by a dataschema at the registry. It returns nil for an event that names
// none. A value that is not JSON and begins with a zero byte and an id that the registry
// knows counts as prefixed, since the framing of a topic is not known here. If there is an
// error, Data is what is known so far.
func (r *Reader) Read(ctx context.Context, e *eventbus.Envelope) (*Data, error) {
	frame, err := r.registry.Read(e, true)
	if err != nil || frame.ID == (registry.ID{}) {
		return nil, err
	}
	// The id is known from here on, and is returned with every error, since people
	// need it to find the schema.
	data := &Data{ID: frame.ID}
	d, err := r.decoder(ctx, frame.ID)
	prefixed := len(frame.Value) < len(e.Data)
	// Plain Avro and other data may begin with a zero byte too; it is a prefix only if
	// the registry knows the id.
	if prefixed && errors.Is(err, registry.ErrUnknown) {
		return nil, nil // most likely no prefix
	}
	if err != nil {
		return data, err
	}
	data.Schema, data.decoder = d.schema, d
	if d.err != nil {
		return data, d.err
	}
	data.Record, data.JSON, err = d.decode(frame.Value, frame.Index, prefixed, e.Type)
	if err == nil && len(data.JSON) > MaxJSON {
		err = fmt.Errorf("the data takes more than %d MiB as JSON", MaxJSON>>20)
	}
	if err != nil {
		data.JSON = nil
		return data, fmt.Errorf("data of schema id %s: %w", frame.ID, err)
	}
	return data, nil
}

// decoder returns the decoder of a schema, which it may have to request from the
// registry. While the registry counts as down, it is not asked.
func (r *Reader) decoder(ctx context.Context, id registry.ID) (*decoder, error) {
	r.mu.Lock()
	d, failed := r.decoders[id], r.failed
	if time.Now().After(r.until) {
		failed = nil
	}
	r.mu.Unlock()
	switch {
	case d != nil:
		return d, nil
	case failed != nil:
		return nil, failed
	}
	// The registry is asked without the lock. Two events of one new schema may both
	// ask; Registry then makes a single request.
	s, err := r.registry.Schema(ctx, id)
	if err != nil {
		// An unknown id says nothing about others, and neither does a caller that gave
		// up.
		if !errors.Is(err, registry.ErrUnknown) && ctx.Err() == nil {
			r.mu.Lock()
			r.failed, r.until = err, time.Now().Add(downFor)
			r.mu.Unlock()
		}
		return nil, err
	}
	d = newDecoder(s, func(ref registry.Reference) (*registry.Schema, error) {
		return r.registry.Version(ctx, ref.Subject, ref.Version)
	})
	// If there are too many, any other decoder is dropped.
	r.mu.Lock()
	defer r.mu.Unlock()
	for other := range r.decoders {
		if len(r.decoders) < mostDecoders {
			break
		}
		delete(r.decoders, other)
	}
	r.decoders[id] = d
	return d, nil
}

// load returns the schema that a reference names.
type load = func(registry.Reference) (*registry.Schema, error)

// newDecoder compiles a schema. The error of an unusable schema is kept in the
// decoder, so that it is not compiled again for each event.
func newDecoder(s *registry.Schema, load load) *decoder {
	d := &decoder{schema: s}
	switch s.Type {
	case registry.Avro:
		d.decode, d.fields, d.err = avroDecoder(s, load)
	case registry.Protobuf:
		d.decode, d.fields, d.err = protobufDecoder(s, load)
	case registry.JSON:
		d.decode, d.fields = jsonDecoder, func(string) fields { return jsonFields(s.Text) }
	default:
		d.err = fmt.Errorf("its schema is of type %s", s.Type)
	}
	if d.err != nil {
		d.err = fmt.Errorf("its schema can't be used: %w", d.err)
	}
	return d
}

// jsonDecoder does not validate against the schema: tools show data as it is. The data
// is copied, since its memory belongs to the record.
func jsonDecoder(data, _ []byte, _ bool, _ string) (string, []byte, error) {
	if !json.Valid(data) {
		return "", nil, errors.New("it is not JSON")
	}
	return "", bytes.Clone(data), nil
}
