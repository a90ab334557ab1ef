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

// Reader reads events by the schemas of one registry. It is safe for concurrent use.
type Reader struct {
	registry *registry.Registry
	mu       sync.Mutex
	decoders map[registry.ID]*decoder
	failed   error // the registry can't be reached
	until    time.Time
}

// New returns a reader. It asks the registry when an event names a schema that it has
// not seen.
func New(r *registry.Registry) *Reader {
	return &Reader{registry: r, decoders: make(map[registry.ID]*decoder)}
}

// Data is the data of an event.
type Data struct {
	// ID names the schema; Schema is nil if it could not be had.
	ID     registry.ID
	Schema *registry.Schema
	// Record is the full name of the type in the schema, "" for JSON.
	Record string
	// JSON is the data, nil if it could not be read.
	JSON []byte
}

// decoder reads data by one schema. Index is the message indexes of a header; prefixed
// data begins with its own. Typ is the event's type.
type decoder struct {
	schema *registry.Schema
	decode func(data, index []byte, prefixed bool, typ string) (record string, text []byte, err error)
	err    error // the schema can't be used
}

const (
	// mostDecoders bounds the schemas that are kept: ids are the writers' choice.
	mostDecoders = 500
	// downFor is how long a registry that could not be reached is not asked again, so
	// that a list of events is not a list of timeouts.
	downFor = 10 * time.Second
	// MaxJSON bounds the text that is made of one event, in bytes.
	MaxJSON = 16 << 20
)

// Read returns the data of an event that names a schema: by its header, by the prefix of
// its value, or by a dataschema at the registry. It returns nil for an event that names
// none. A value that is not JSON, and begins with a zero byte and an id that the
// registry knows, counts as prefixed, since the framing of a topic is not known here.
// With an error, Data has what was found out.
func (r *Reader) Read(ctx context.Context, e *eventbus.Envelope) (*Data, error) {
	frame, err := r.registry.Read(e, true)
	if err != nil || frame.ID == (registry.ID{}) {
		return nil, err
	}
	data := &Data{ID: frame.ID}
	d, err := r.decoder(ctx, frame.ID)
	prefixed := len(frame.Value) < len(e.Data)
	if prefixed && errors.Is(err, registry.ErrUnknown) {
		return nil, nil // most likely no prefix
	}
	if err != nil {
		return data, err
	}
	data.Schema = d.schema
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
	s, err := r.registry.Schema(ctx, id)
	if err != nil {
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

type load = func(registry.Reference) (*registry.Schema, error)

func newDecoder(s *registry.Schema, load load) *decoder {
	d := &decoder{schema: s}
	switch s.Type {
	case registry.Avro:
		d.decode, d.err = avroDecoder(s, load)
	case registry.Protobuf:
		d.decode, d.err = protobufDecoder(s, load)
	case registry.JSON:
		d.decode = jsonDecoder
	default:
		d.err = fmt.Errorf("its schema is of type %s", s.Type)
	}
	if d.err != nil {
		d.err = fmt.Errorf("its schema can't be used: %w", d.err)
	}
	return d
}

func jsonDecoder(data, _ []byte, _ bool, _ string) (string, []byte, error) {
	if !json.Valid(data) {
		return "", nil, errors.New("it is no JSON")
	}
	return "", bytes.Clone(data), nil
}
