package eventbus

import (
	"bytes"
	rand "math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	own "github.com/eventbus-go/eventbus/internal/jsonschema"
)

// What the JSON codec encodes, for the types of its random tests, is valid against
// the schema of the type.
func TestJSONIsValidByItsSchema(t *testing.T) {
	t.Parallel()
	for _, kind := range jsonRandomTypes {
		text, err := own.Of(kind)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		compiler := jsonschema.NewCompiler()
		if err := compiler.AddResource("schema.json", document); err != nil {
			t.Fatal(err)
		}
		schema, err := compiler.Compile("schema.json")
		if err != nil {
			t.Fatalf("%s: %v\n%s", kind, err, text)
		}
		encoded := 0
		for seed := range uint64(300) {
			random := jsonRandom{rand.New(rand.NewPCG(seed, 1))}
			v := reflect.New(kind)
			random.fill(v.Elem(), 0)
			data, err := JSON().Encode(t.Context(), nil, nil, v.Interface())
			if err != nil {
				continue
			}
			encoded++
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if value == nil && kind.Kind() == reflect.Pointer {
				continue // an event is never nil
			}
			if err := schema.Validate(value); err != nil {
				t.Fatalf("%s, seed %d: %v\n%s\n%s", kind, seed, err, data, text)
			}
		}
		if encoded == 0 && kind.Kind() != reflect.Struct || encoded == 0 && !strings.Contains(kind.Name(), "json") {
			t.Errorf("%s: nothing could be encoded", kind)
		}
	}
}
