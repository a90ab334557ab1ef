package eventbus

import (
	"context"
	"encoding/json"
	"reflect"
	"sync"

	fastjson "github.com/goccy/go-json"

	"github.com/eventbus-go/eventbus/internal/jsonsame"
)

// JSON returns the default codec, application/json. It means what encoding/json
// means, to the letter, at about three times its speed.
//
// github.com/goccy/go-json encodes and decodes; types that it would treat
// otherwise, and values and data that it refuses, go to encoding/json, whose word
// (the bytes, the value, or the error) counts.
func JSON() Codec { return jsonCodec{} }

type jsonCodec struct{}

func (jsonCodec) ContentType() string { return "application/json" }

// jsonWriter lets an encoder write behind what is in a buffer already.
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

func (jsonCodec) Decode(_ context.Context, e *Envelope, v any) error {
	if jsonsame.Of(reflect.TypeOf(v)).Decode {
		if fastjson.Unmarshal(e.Data, v) == nil {
			return nil
		}
		reflect.ValueOf(v).Elem().SetZero() // it may be filled in part
	}
	if err := json.Unmarshal(e.Data, v); err != nil {
		return jsonsame.DecodeFault(err)
	}
	return nil
}
