package catalog

import (
	"bytes"
	"encoding/json"
	"reflect"

	"github.com/eventbus-go/eventbus/internal/jsonschema"
)

// withPersonal returns a handwritten JSON Schema with marks on the fields that are
// personal in the Go type, since tools mask data by the marks. A schema without such
// fields is returned unchanged.
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
	m.mark(m.written.root, m.own.root)
	marked, err := json.Marshal(m.written.root)
	if err != nil {
		return schema // it was parsed
	}
	return marked
}

// personalMarks copies marks from the schema of the Go type to a handwritten one. seen
// has the pairs of schemas that it has visited.
type personalMarks struct {
	written, own schemaDocument
	seen         map[[2]uintptr]bool
}

// mark copies the marks of the type's schema to the handwritten one. Either may have
// alternatives, all of which are visited.
func (m *personalMarks) mark(written, own any) {
	s, _ := written.(map[string]any)
	of, _ := own.(map[string]any)
	if s == nil || of == nil {
		return
	}
	// Schemas may refer to themselves, and nested alternatives lead to the same pair
	// many times. resolve returns copies, so the pairs before resolve are remembered.
	pair := [2]uintptr{reflect.ValueOf(s).Pointer(), reflect.ValueOf(of).Pointer()}
	if m.seen[pair] {
		return
	}
	m.seen[pair] = true
	s, _ = m.written.resolve(s)
	of, _ = m.own.resolve(of)
	for _, keyword := range []string{"allOf", "anyOf", "oneOf"} {
		for _, branch := range list(s[keyword]) {
			m.mark(branch, own)
		}
		for _, branch := range list(of[keyword]) {
			m.mark(written, branch)
		}
	}
	for _, keyword := range []string{"items", "additionalProperties"} {
		m.mark(s[keyword], of[keyword])
	}
	fields, _ := s["properties"].(map[string]any)
	personal, _ := of["properties"].(map[string]any)
	for name, f := range personal {
		field, _ := fields[name].(map[string]any)
		p, _ := f.(map[string]any)
		if field == nil || p == nil {
			continue
		}
		if p, _ := m.own.resolve(p); p[jsonschema.Personal] == true {
			field[jsonschema.Personal] = true
		}
		m.mark(field, p)
	}
}

// list returns the elements of a JSON array, or nil for any other value.
func list(v any) []any {
	all, _ := v.([]any)
	return all
}
