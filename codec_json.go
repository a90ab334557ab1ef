package eventbus

import (
	"context"
	"encoding/json"
	"reflect"
	"sync"

	jsonv2 "github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// JSON returns the default codec, application/json. It means what encoding/json
// means, to the letter, and decodes at about twice its speed.
//
// Values are encoded by encoding/json itself. They are decoded by the coming
// version of it, told to follow the rules of the present one; types that it
// would treat otherwise all the same, and data that it refuses, go to
// encoding/json, whose word (the value, or the error) counts.
func JSON() Codec { return jsonCodec{} }

type jsonCodec struct{}

func (jsonCodec) ContentType() string { return "application/json" }

// jsonWriter lets encoding/json write behind what is in a buffer already.
type jsonWriter struct {
	buf     []byte
	encoder *json.Encoder
}

func (w *jsonWriter) Write(p []byte) (int, error) {
	w.buf = append(w.buf, p...)
	return len(p), nil
}

var jsonWriters = sync.Pool{New: func() any {
	w := new(jsonWriter)
	w.encoder = json.NewEncoder(w)
	return w
}}

func (jsonCodec) Encode(_ context.Context, dst []byte, _ *Envelope, v any) ([]byte, error) {
	w := jsonWriters.Get().(*jsonWriter)
	w.buf = dst
	err := w.encoder.Encode(v)
	out := w.buf
	w.buf = nil
	jsonWriters.Put(w)
	if err != nil {
		return dst, jsonEncodeFault(v, err)
	}
	return out[:len(out)-1], nil // Encode ends each value with a newline, Marshal does not
}

// jsonV1 makes the new decoder follow encoding/json, but for its errors: those
// come from encoding/json itself, which spares a pass over the data to find a
// syntax error before anything is decoded.
var jsonV1 = jsonv2.JoinOptions(jsonv1.DefaultOptionsV1(), jsonv1.ReportErrorsWithLegacySemantics(false))

func (jsonCodec) Decode(_ context.Context, e *Envelope, v any) error {
	if jsonAlike(reflect.TypeOf(v), e.Data) {
		if jsonv2.Unmarshal(e.Data, v, jsonV1) == nil {
			return nil
		}
		reflect.ValueOf(v).Elem().SetZero() // it may be filled in part
	}
	if err := json.Unmarshal(e.Data, v); err != nil {
		return jsonDecodeFault(err)
	}
	return nil
}
