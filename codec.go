package eventbus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"sync"

	fastjson "github.com/goccy/go-json"

	"github.com/eventbus-go/eventbus/internal/errtree"
	"github.com/eventbus-go/eventbus/internal/jsonsame"
	"github.com/eventbus-go/eventbus/internal/wire"
)

// ErrSerialization is the error for a value that can't be encoded as an event's data. Its
// text names the Go type and the field.
var ErrSerialization = wire.ErrSerialization

// Codec turns Go values into the data of events and back. It must be safe for concurrent
// use.
//
// v is always a pointer to the event's type, one level deep, whether the topic is declared
// for the type or for a pointer to it. In Decode it points to a zero value. A codec must not
// keep v, e or e.Data after it returns: all three are reused.
//
// e has the topic, the key and every attribute known so far. In Encode, the trace and what
// an event inherits from the one being handled are set later, and so is an id by
// [DerivedIDs] if no codec wraps another. [Topic.Encode] has no bus, so it leaves Topic and
// Source empty.
//
// Encode may set e.DataContentType and e.DataSchema, append to e.Headers, and replace
// e.Extensions by a map of its own; Decode may set e.Shredded. They change nothing else. The
// value of a header may be shared between events, so it must never change.
//
// An error means that the value or the data is invalid and retrying is useless: the event is
// refused, or goes to the dead-letter topic. If the cause lies elsewhere and may pass (a
// schema registry is down), return [Unavailable], and the event is retried.
type Codec interface {
	// ContentType returns the datacontenttype of what Encode produces.
	ContentType() string
	// Encode appends the data of v to dst and returns the extended slice.
	Encode(ctx context.Context, dst []byte, e *Envelope, v any) ([]byte, error)
	// Decode reads e.Data into v.
	Decode(ctx context.Context, e *Envelope, v any) error
}

// CodecStarter is a Codec that must prepare something before its first event, such as
// registering a schema.
type CodecStarter interface {
	Codec
	// Start is called by [Bus.Start], once for each topic declared with the codec, with the
	// topic's full name. Its error fails the start; with Config.StartDegraded it is retried in
	// the background. Once ctx has ended nothing waits for it any longer than a second.
	Start(ctx context.Context, topic string) error
}

// CodecWrapper is a Codec around another, such as one that encrypts. Catalogues describe the
// data of the innermost codec. If the wrapper is not a [CodecStarter], the codec inside is
// started.
type CodecWrapper interface {
	Codec
	// Unwrap returns the codec inside, never nil.
	Unwrap() Codec
}

// layers yields a codec and those inside it, the outermost first.
func layers(c Codec) iter.Seq[Codec] {
	return func(yield func(Codec) bool) {
		for yield(c) {
			w, ok := c.(CodecWrapper)
			if !ok {
				return
			}
			c = w.Unwrap()
		}
	}
}

// starterOf returns the outermost codec that needs a start, nil if none does.
func starterOf(c Codec) CodecStarter {
	for layer := range layers(c) {
		if s, ok := layer.(CodecStarter); ok {
			return s
		}
	}
	return nil
}

// innermost returns the codec that turns values into data.
func innermost(c Codec) Codec {
	for layer := range layers(c) {
		c = layer
	}
	return c
}

// bindsID reports whether a codec, or one inside it, makes data that can't be read
// without the event's id: it has a method BindsID then, as that of package personal.
func bindsID(c Codec) bool {
	for layer := range layers(c) {
		if _, ok := layer.(interface{ BindsID() }); ok {
			return true
		}
	}
	return false
}

// Unavailable marks an error of a codec as one that may pass: what it needed
// could not be reached. The event is tried again by the retry policy.
func Unavailable(err error) error {
	if err == nil {
		return nil
	}
	return &unavailableError{err}
}

type unavailableError struct{ err error }

func (e *unavailableError) Error() string { return e.err.Error() }

func (e *unavailableError) Unwrap() error { return e.err }

func isUnavailable(err error) bool {
	return errtree.Contains[*unavailableError](err)
}

// encodeError returns a publisher's error for a value that its codec refuses. An unavailable
// codec says nothing about the value, so that error is not an ErrSerialization.
func encodeError(goType string, err error) error {
	if isUnavailable(err) {
		return fmt.Errorf("event data of %s can't be encoded now: %w", goType, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrSerialization, goType, err)
}

// decodeError adds the type into which data could not be decoded.
func decodeError(goType string, err error) error {
	return fmt.Errorf("event data can't be read into %s: %w", goType, err)
}

// Bytes returns the codec of events that are bytes already: for a Topic of []byte, or of a
// named type of it. The data is the bytes as they are; a handler owns the bytes it gets. The
// content type is application/octet-stream, and catalogues call the schema opaque. Nil and
// empty slices are events with empty data, never tombstones.
func Bytes() Codec { return bytesCodec{} }

type bytesCodec struct{}

func (bytesCodec) ContentType() string { return "application/octet-stream" }

func (bytesCodec) Encode(_ context.Context, dst []byte, _ *Envelope, v any) ([]byte, error) {
	if b, ok := v.(*[]byte); ok {
		return append(dst, *b...), nil
	}
	return append(dst, reflect.ValueOf(v).Elem().Bytes()...), nil
}

// Decode copies: the envelope's data is reused.
func (bytesCodec) Decode(_ context.Context, e *Envelope, v any) error {
	data := append([]byte{}, e.Data...)
	if b, ok := v.(*[]byte); ok {
		*b = data
	} else {
		reflect.ValueOf(v).Elem().SetBytes(data)
	}
	return nil
}

// SchemaText implements SchemaCodec.
func (bytesCodec) SchemaText() string { return "opaque" }

// fault implements typeChecker.
func (bytesCodec) fault(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
		return ""
	}
	return "is Bytes and " + t.String() + " is no []byte: declare the topic for []byte or a named type of it"
}

// typeChecker is a codec that does not accept every type.
type typeChecker interface{ fault(t reflect.Type) string }

// JSON returns the default codec, application/json. It behaves exactly as encoding/json does,
// at about three times its speed, with one exception: it refuses null as the data of an event
// whose type has no value for it (a struct, a string, a number), since the handler would get
// an event that nobody published. A type with its own UnmarshalJSON decides for itself.
//
// github.com/goccy/go-json does the work. Types that it would treat differently, and values
// and data that it refuses, go to encoding/json, whose result (the bytes, the value, or the
// error) counts.
func JSON() Codec { return jsonCodec{} }

type jsonCodec struct{}

func (jsonCodec) ContentType() string { return "application/json" }

// jsonWriter lets an encoder append to a buffer.
type jsonWriter struct {
	buf     []byte
	encoder *fastjson.Encoder
}

func (w *jsonWriter) Write(p []byte) (int, error) {
	w.buf = append(w.buf, p...)
	return len(p), nil
}

var jsonWriters = sync.Pool{New: func() any {
	w := new(jsonWriter)
	w.encoder = fastjson.NewEncoder(w)
	return w
}}

func (jsonCodec) Encode(_ context.Context, dst []byte, _ *Envelope, v any) ([]byte, error) {
	if jsonsame.Of(reflect.TypeOf(v)).Encode {
		w := jsonWriters.Get().(*jsonWriter)
		w.buf = dst
		err := w.encoder.Encode(v)
		out := w.buf
		w.buf = nil
		jsonWriters.Put(w)
		if err == nil {
			return out[:len(out)-1], nil // Encode ends each value with a newline, Marshal does not
		}
	}
	data, err := json.Marshal(v)
	if err != nil {
		return dst, jsonsame.EncodeFault(v, err)
	}
	return append(dst, data...), nil
}

var (
	errNoData   = errors.New("the event has no data")
	errNullData = errors.New("the event's data is null")
)

func (jsonCodec) Decode(_ context.Context, e *Envelope, v any) error {
	switch data := bytes.TrimLeft(e.Data, " \t\r\n"); {
	case len(data) == 0:
		return errNoData
	case data[0] == 'n' && string(bytes.TrimRight(data, " \t\r\n")) == "null" && !jsonsame.TakesNull(reflect.TypeOf(v)):
		return errNullData
	}
	if jsonsame.Of(reflect.TypeOf(v)).Decode {
		if fastjson.Unmarshal(e.Data, v) == nil {
			return nil
		}
		reflect.ValueOf(v).Elem().SetZero() // it may be partly filled
	}
	if err := json.Unmarshal(e.Data, v); err != nil {
		return jsonsame.DecodeFault(reflect.TypeOf(v), e.Data, err)
	}
	return nil
}
