package mask

import (
	"testing"

	"github.com/eventbus-go/eventbus/catalog"
)

// TestRead: in data that a registry's schema describes, the fields that it marks are
// masked, and those that the catalogue marks or does not describe.
func TestRead(t *testing.T) {
	const avro = `{"type":"record","name":"Order","namespace":"shop","fields":[
		{"name":"id","type":"string"},{"name":"email","type":"string","x-eventbus-personal":true},
		{"name":"home","type":["null",{"type":"record","name":"Address","fields":[{"name":"street","type":"string","x-eventbus-personal":true},{"name":"city","type":"string"}]}]},
		{"name":"others","type":{"type":"array","items":"Address"}},{"name":"byKind","type":{"type":"map","values":"shop.Address"}},
		{"name":"kind","type":{"type":"enum","name":"Kind","symbols":["A"],"x-eventbus-personal":true}},
		{"name":"next","type":["null","Order"]},{"name":"odd","type":"Unknown"}]}`
	documents := []*catalog.Document{{Topics: []catalog.Topic{{Name: "sales.public.orders.v1", Events: []catalog.Event{
		{Type: "Order", ContentType: "application/avro", Schema: []byte(avro)},
		{Type: "Text", ContentType: "application/avro", Schema: []byte(`"shop.Order"`)},
	}}}}}
	fields := map[string]any{"properties": map[string]any{
		"id": map[string]any{"type": "string"}, "email": map[string]any{"type": "string"}, "kind": map[string]any{"type": "string"}, "odd": map[string]any{"type": "string"},
		"home":   map[string]any{"properties": map[string]any{"street": map[string]any{"type": "string"}, "city": map[string]any{"type": "string", "x-eventbus-personal": true}}},
		"others": map[string]any{"items": map[string]any{"properties": map[string]any{"street": map[string]any{"type": "string"}, "city": map[string]any{"type": "string"}}}},
		"byKind": map[string]any{"additionalProperties": map[string]any{"properties": map[string]any{"street": map[string]any{"type": "string"}, "city": map[string]any{"type": "string"}}}},
		"next":   map[string]any{"properties": map[string]any{"id": map[string]any{"type": "string"}, "email": map[string]any{"type": "string"}}},
		"new":    map[string]any{"type": "string"},
	}}
	const topic = "dev.sales.public.orders.v1"
	const data = `{"id":"1","email":"a","home":{"street":"s","city":"c"},"others":[{"street":"s","city":"c"}],"byKind":{"x":{"street":"s","city":"c"}},"kind":"A","next":{"id":"2","email":"b"},"odd":"o","new":"n"}`
	const want = `{"byKind":{"x":{"city":"c","street":"•••"}},"email":"•••","home":{"city":"•••","street":"•••"},"id":"1","kind":"•••","new":"•••","next":{"email":"•••","id":"2"},"odd":"•••","others":[{"city":"c","street":"•••"}]}`
	if got, ok := JSON([]byte(data), Read(documents, topic, "Order", fields)...); !ok || string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	// If no catalogue has the type, only the registry's schema counts.
	if got, ok := JSON([]byte(`{"id":"1","email":"a","more":1}`), Read(documents, topic, "Other", fields)...); !ok || string(got) != `{"email":"a","id":"1","more":"•••"}` {
		t.Errorf("%s", got)
	}
	// An undeclared name describes nothing.
	if got, ok := JSON([]byte(`{"id":"1"}`), Read(documents, topic, "Text", fields)...); !ok || string(got) != `{"id":"•••"}` {
		t.Errorf("%s", got)
	}
	if got, ok := JSON([]byte(`{"id":"1"}`), Read(documents, topic, "Order", nil)...); ok {
		t.Errorf("without fields %s is shown", got)
	}
}
