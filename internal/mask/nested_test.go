package mask

import (
	"encoding/json"
	"testing"
)

// TestJSONNested: fields that a schema marks as personal or does not describe are masked,
// however they are nested or referred to.
func TestJSONNested(t *testing.T) {
	const schema = `{
		"type": "object",
		"properties": {
			"id": {"type": "string"},
			"email": {"type": "string", "x-eventbus-personal": true},
			"person": {"$ref": "#/$defs/person", "x-eventbus-personal": true},
			"buyer": {"$ref": "#/$defs/person"},
			"lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
			"notes": {"type": "object", "additionalProperties": {"type": "string", "x-eventbus-personal": true}},
			"maybe": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/person"}]},
			"loop": {"$ref": "#/$defs/loop"}
		},
		"$defs": {
			"person": {"type": "object", "properties": {"name": {"type": "string", "x-eventbus-personal": true}, "country": {"type": "string"}}},
			"line": {"type": "object", "properties": {"sku": {"type": "string"}, "engraving": {"type": "string", "x-eventbus-personal": true}}},
			"loop": {"$ref": "#/$defs/loop"}
		}
	}`
	for in, want := range map[string]string{
		`{"id":"a","email":"b@c"}`:                            `{"email":"•••","id":"a"}`,
		`{"person":{"name":"A"}}`:                             `{"person":"•••"}`,
		`{"buyer":{"name":"A","country":"DE","age":7}}`:       `{"buyer":{"age":"•••","country":"DE","name":"•••"}}`,
		`{"lines":[{"sku":"x","engraving":"y"},{"sku":"z"}]}`: `{"lines":[{"engraving":"•••","sku":"x"},{"sku":"z"}]}`,
		`{"notes":{"a":"b"}}`:                                 `{"notes":{"a":"•••"}}`,
		`{"maybe":{"name":"A","country":"DE"},"other":1}`:     `{"maybe":{"country":"DE","name":"•••"},"other":"•••"}`,
		`{"maybe":null,"loop":"x"}`:                           `{"loop":"•••","maybe":null}`,
		`"text"`:                                              `"•••"`,
	} {
		var s any
		if err := json.Unmarshal([]byte(schema), &s); err != nil {
			t.Fatal(err)
		}
		got, ok := JSON([]byte(in), s)
		if !ok || string(got) != want {
			t.Errorf("%s is shown as %s, want %s", in, got, want)
		}
	}
}
