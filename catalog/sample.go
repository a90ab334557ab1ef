package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/internal/jsonschema"
)

const (
	madeUp     = 2   // events that are made up for their keys
	maxKeySize = 100 // bytes of a key that are shown
)

// sample sets what is found out by looking at values of the type.
func (e *Event) sample(s *declare.Samples) {
	if s.Type == nil {
		return
	}
	switch {
	case s.JSON:
		e.Schema, _ = jsonschema.Of(s.Type) // no type of Go is beyond it; an error leaves the schema out
	case json.Valid([]byte(s.Schema)):
		var b bytes.Buffer
		_ = json.Compact(&b, []byte(s.Schema))
		e.Schema = b.Bytes()
	case s.Schema != "":
		e.Schema, _ = json.Marshal(s.Schema)
	}
	values := s.Given
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

// keyOf returns the key of a value. A key function that panics on a value which is
// made up has none for it.
func keyOf(s *declare.Samples, v any) (key string, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	key, ok = s.Key(v)
	if len(key) > maxKeySize {
		sum := sha256.Sum256([]byte(key))
		key = key[:maxKeySize] + "… sha256:" + hex.EncodeToString(sum[:8])
	}
	return key, ok
}

// exampleOf returns an event as it is written, nil for one that can't be.
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
