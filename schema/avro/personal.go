package avro

import (
	"encoding/json"
	"reflect"
	"strings"
)

// personalProperty marks a field of a schema that holds personal data, as catalogues
// have it; a Go field is marked by the tag data:"personal".
const personalProperty = "x-eventbus-personal"

// withPersonal returns a schema in which the fields are marked that the Go type has as
// personal. A schema that gets no new mark stays as it was written.
func withPersonal(text string, t reflect.Type) string {
	// Numbers keep their digits.
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var root any
	if decoder.Decode(&root) != nil {
		return text // a name alone
	}
	m := marker{named: make(map[string]declared), seen: make(map[visit]bool)}
	m.declare(root, "")
	m.mark(root, "", t)
	if !m.changed {
		return text
	}
	marked, err := json.Marshal(root)
	if err != nil {
		return text // it was parsed
	}
	return string(marked)
}

// marker goes through a schema and a Go type side by side.
type marker struct {
	named   map[string]declared // by their names in full
	seen    map[visit]bool
	changed bool
}

// declared is a named type, and the namespace that names inside of it are relative to.
type declared struct {
	props     map[string]any
	namespace string
}

// visit is a record that was met as a Go type: types may hold their own kind.
type visit struct {
	name string
	of   reflect.Type
}

// declare notes the named types of a schema, with those that it refers to.
func (m *marker) declare(v any, namespace string) {
	switch v := v.(type) {
	case []any:
		for _, inner := range v {
			m.declare(inner, namespace)
		}
	case map[string]any:
		if references, ok := v["x-eventbus-references"]; ok {
			m.declare(references, "")
		}
		if name := nameOf(v, namespace); name != "" {
			namespace = name[:max(strings.LastIndexByte(name, '.'), 0)]
			m.named[name] = declared{v, namespace}
		}
		fields, _ := v["fields"].([]any)
		for _, f := range fields {
			if field, ok := f.(map[string]any); ok {
				m.declare(field["type"], namespace)
			}
		}
		for _, inner := range []any{v["type"], v["items"], v["values"]} {
			m.declare(inner, namespace)
		}
	}
}

// nameOf returns the full name of a declaration, "" for one of a type without a name.
func nameOf(v map[string]any, namespace string) string {
	switch v["type"] {
	case "record", "error", "enum", "fixed":
	default:
		return ""
	}
	if own, ok := v["namespace"].(string); ok {
		namespace = own
	}
	name, _ := v["name"].(string)
	return inFull(name, namespace)
}

// inFull is a name in full. One with a dot is so already.
func inFull(name, namespace string) string {
	if name == "" || namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

// mark marks the fields of a type by those of a Go type. Where the Go type has no
// fields to go by, such as a map of anything, there is no mark to take over.
func (m *marker) mark(v any, namespace string, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := v.(type) {
	case string:
		if d, ok := m.named[inFull(v, namespace)]; ok {
			m.record(v, d, t)
		}
	case []any: // a union: each branch that the Go type fits
		for _, branch := range v {
			m.mark(branch, namespace, t)
		}
	case map[string]any:
		switch v["type"] {
		case "record", "error", "enum", "fixed":
			name := nameOf(v, namespace)
			m.record(name, m.named[name], t)
		case "array":
			if t.Kind() == reflect.Slice || t.Kind() == reflect.Array {
				m.mark(v["items"], namespace, t.Elem())
			}
		case "map":
			if t.Kind() == reflect.Map {
				m.mark(v["values"], namespace, t.Elem())
			}
		default:
			m.mark(v["type"], namespace, t) // a declaration or a name with attributes around it
		}
	}
}

// record marks the fields of a record by those of a struct.
func (m *marker) record(name string, d declared, t reflect.Type) {
	if t.Kind() != reflect.Struct || m.seen[visit{name, t}] {
		return
	}
	m.seen[visit{name, t}] = true
	of := make(map[string][]goField)
	goFields(of, t, false, make(map[reflect.Type]bool))
	fields, _ := d.props["fields"].([]any)
	for _, f := range fields {
		field, ok := f.(map[string]any)
		if !ok {
			continue
		}
		name, _ := field["name"].(string)
		for _, g := range of[name] {
			if g.personal && field[personalProperty] != true {
				field[personalProperty], m.changed = true, true
			}
			m.mark(field["type"], d.namespace, g.t)
		}
	}
}

// goField is a field of a struct that an Avro field is encoded from.
type goField struct {
	t        reflect.Type
	personal bool
}

// goFields adds the fields of a struct by their names in Avro, with those of structs that
// are embedded. Of several with one name each counts: which of them is encoded is the
// library's rule, and a mark too many hides too much rather than too little.
func goFields(all map[string][]goField, t reflect.Type, personal bool, inside map[reflect.Type]bool) {
	if inside[t] {
		return
	}
	inside[t] = true
	defer delete(inside, t)
	for f := range t.Fields() {
		tag := f.Tag.Get("avro")
		name, options, _ := strings.Cut(tag, ",")
		of := f.Type
		if of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		flat := of.Kind() == reflect.Struct && (f.Anonymous && name == "" || strings.Contains(options, "inline"))
		marked := personal || f.Tag.Get("data") == "personal"
		switch {
		case tag == "-":
		case flat:
			goFields(all, of, marked, inside)
		case f.IsExported():
			if name == "" {
				name = f.Name
			}
			all[name] = append(all[name], goField{f.Type, marked})
		}
	}
}
