package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"strings"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/jsonschema"
)

const (
	// madeUp is how many events are generated. One event's key alone would not show
	// that the key is constant.
	madeUp = 2
	// maxKeySize bounds a shown key, in bytes.
	maxKeySize = 100
)

// sample sets schema, example and keys. It calls the codec and the key function of the
// declaration, which may panic on generated values.
func (e *Event) sample(s *declare.Samples) {
	if s.Type == nil {
		return
	}
	switch {
	case s.JSON:
		// After an error there is no schema.
		e.Schema, _ = jsonschema.Of(s.Type)
	case json.Valid([]byte(s.Schema)):
		var b bytes.Buffer
		// Compact, as in Read, so that a document equals itself read back.
		_ = json.Compact(&b, []byte(s.Schema))
		e.Schema = b.Bytes()
		if strings.Contains(e.ContentType, "json") {
			e.Schema = withPersonal(e.Schema, s.Type)
		}
	// For example the text of a .proto file.
	case s.Schema != "":
		e.Schema, _ = json.Marshal(s.Schema)
	}
	values := s.Given
	// Generated values come after the given ones: the first value is the example.
	for n := range madeUp {
		v := reflect.New(s.Type)
		jsonschema.Example(v.Elem(), n)
		values = append(values, v.Interface())
	}
	for _, v := range values {
		if key, ok := keyOf(s, v); ok {
			e.Key.Examples = append(e.Key.Examples, key)
		}
	}
	if s.JSON {
		e.Example = exampleOf(s, values[0])
	}
}

// keyOf returns the key of a value, and reports whether there is one. There is none if
// the key function panics, as it may on a generated value.
func keyOf(s *declare.Samples, v any) (key string, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	key, ok = s.Key(v)
	// The hash distinguishes long keys with the same beginning.
	if len(key) > maxKeySize {
		sum := sha256.Sum256([]byte(key))
		key = key[:maxKeySize] + "… sha256:" + hex.EncodeToString(sum[:8])
	}
	return key, ok
}

// exampleOf returns an encoded event, or nil if the codec fails or panics.
func exampleOf(s *declare.Samples, v any) (example json.RawMessage) {
	defer func() {
		if recover() != nil {
			example = nil
		}
	}()
	data, err := s.Encode(v)
	if err != nil {
		return nil
	}
	return data
}
