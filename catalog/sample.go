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
	// madeUp is how many events are made up for their keys: with one alone a
	// constant key would look like any other.
	madeUp = 2
	// maxKeySize bounds the bytes of a key that are shown.
	maxKeySize = 100
)

// sample sets what only values of the type show: schema, example, keys. It calls
// the codec and the key function of the declaration, which may panic on made-up
// values.
func (e *Event) sample(s *declare.Samples) {
	if s.Type == nil {
		return
	}
	switch {
	case s.JSON:
		// No Go type is beyond it; an error leaves the schema out.
		e.Schema, _ = jsonschema.Of(s.Type)
	case json.Valid([]byte(s.Schema)):
		var b bytes.Buffer
		// Compact as Read makes it, so that a document equals the one read back.
		_ = json.Compact(&b, []byte(s.Schema))
		e.Schema = b.Bytes()
		if strings.Contains(e.ContentType, "json") {
			e.Schema = withPersonal(e.Schema, s.Type)
		}
	// Such as the text of a .proto file.
	case s.Schema != "":
		e.Schema, _ = json.Marshal(s.Schema)
	}
	values := s.Given
	// Made-up values come after the given ones: the first is the example.
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

// keyOf returns the key of a value. A key function that panics on a made-up value
// has none for it; documents are written all the same.
func keyOf(s *declare.Samples, v any) (key string, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	key, ok = s.Key(v)
	// The hash tells long keys with one beginning apart.
	if len(key) > maxKeySize {
		sum := sha256.Sum256([]byte(key))
		key = key[:maxKeySize] + "… sha256:" + hex.EncodeToString(sum[:8])
	}
	return key, ok
}

// exampleOf returns an event as the codec writes it, nil for one that the codec
// refuses or panics on.
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
