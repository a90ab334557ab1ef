package catalog

import (
	"bytes"
	"encoding/json"
	"reflect"

	"github.com/eventbus-go/eventbus/internal/jsonschema"
)

// withPersonal returns a JSON Schema that was written by hand with marks at the fields that
// the Go type has as personal: data is shown by the marks. A schema without such
// fields stays as it is.
func withPersonal(schema json.RawMessage, t reflect.Type) json.RawMessage {
	own, err := jsonschema.Of(t)
	if err != nil || !bytes.Contains(own, []byte(jsonschema.Personal)) {
		return schema
	}
	var m personalMarks
	for of, d := range map[*schemaDocument][]byte{&m.written: schema, &m.own: own} {
		// Numbers keep their digits.
		decoder := json.NewDecoder(bytes.NewReader(d))
		decoder.UseNumber()
		if decoder.Decode(&of.root) != nil {
			return schema // true and false are schemas as well
		}
	}
	m.seen = make(map[[2]uintptr]bool)
	m.mark(m.written.root, m.own.root, 0)
	marked, err := json.Marshal(m.written.root)
	if err != nil {
		return schema // it was parsed
	}
	return marked
}

// personalMarks goes through a schema that was written by hand and that of the Go type, side
// by side. Seen are the pairs of properties that it is through with.
type personalMarks struct {
	written, own schemaDocument
	seen         map[[2]uintptr]bool
}

// deepestMark bounds schemas that refer to themselves by other keywords than properties.
const deepestMark = 16

// mark takes over the marks of a type's schema. Of alternatives each may be meant.
func (m *personalMarks) mark(written, own any, depth int) {
	s, _ := written.(map[string]any)
	of, _ := own.(map[string]any)
	if s == nil || of == nil || depth > deepestMark {
		return
	}
	s, _ = m.written.resolve(s)
	of, _ = m.own.resolve(of)
	for _, keyword := range []string{"allOf", "anyOf", "oneOf"} {
		for _, branch := range list(s[keyword]) {
			m.mark(branch, of, depth+1)
		}
		for _, branch := range list(of[keyword]) {
			m.mark(s, branch, depth+1)
		}
	}
	for _, keyword := range []string{"items", "additionalProperties"} {
		m.mark(s[keyword], of[keyword], depth+1)
	}
	fields, _ := s["properties"].(map[string]any)
	personal, _ := of["properties"].(map[string]any)
	pair := [2]uintptr{reflect.ValueOf(fields).Pointer(), reflect.ValueOf(personal).Pointer()}
	if m.seen[pair] {
		return
	}
	m.seen[pair] = true
	for name, f := range personal {
		field, _ := fields[name].(map[string]any)
		p, _ := f.(map[string]any)
		if field == nil || p == nil {
			continue
		}
		if p, _ := m.own.resolve(p); p[jsonschema.Personal] == true {
			field[jsonschema.Personal] = true
		}
		m.mark(field, p, depth+1)
	}
}

// list returns the elements of a JSON array, none for any other value.
func list(v any) []any {
	all, _ := v.([]any)
	return all
}
