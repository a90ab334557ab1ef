package mask

import (
	"encoding/json"

	"github.com/eventbus-go/eventbus/internal/avroschema"
	"github.com/eventbus-go/eventbus/internal/jsonschema"
)

// avroFields returns a JSON Schema of the JSON form of Avro data, in which unions are
// bare. It returns nil if text is not a schema.
func avroFields(text json.RawMessage) any {
	var root any
	if json.Unmarshal(text, &root) != nil {
		return nil
	}
	s, whole := avroschema.New(root)
	defs := make(map[string]any)
	var of func(t avroschema.Type) map[string]any
	// read returns the schema of a type, marked as personal if the type or its field is.
	read := func(v any, namespace string, props map[string]any) map[string]any {
		t := s.Read(v, namespace)
		fields := of(t)
		if props[jsonschema.Personal] == true || t.Props[jsonschema.Personal] == true {
			fields[jsonschema.Personal] = true
		}
		return fields
	}
	of = func(t avroschema.Type) map[string]any {
		switch t.Kind {
		case "record", "error":
			if defs[t.Name] == nil {
				properties := make(map[string]any)
				defs[t.Name] = map[string]any{"type": "object", "properties": properties} // before its fields, which may refer to it
				fields, _ := t.Props["fields"].([]any)
				for _, f := range fields {
					field, _ := f.(map[string]any)
					if name, ok := field["name"].(string); ok {
						properties[name] = read(field["type"], t.Namespace, field)
					}
				}
			}
			return map[string]any{"$ref": "#/$defs/" + t.Name}
		case "array":
			return map[string]any{"type": "array", "items": read(t.Props["items"], t.Namespace, nil)}
		case "map":
			return map[string]any{"type": "object", "additionalProperties": read(t.Props["values"], t.Namespace, nil)}
		case "union":
			branches, _ := t.Props["branches"].([]any)
			var all []any
			for _, b := range branches {
				all = append(all, read(b, t.Namespace, nil))
			}
			return map[string]any{"anyOf": all}
		case "null", "boolean", "int", "long", "float", "double", "bytes", "string", "enum", "fixed":
			return map[string]any{"type": "string"} // a value without fields
		}
		return make(map[string]any) // not understood: hidden
	}
	described := of(whole)
	described["$defs"] = defs
	return described
}
