package avro

import (
	"encoding/json"
	"reflect"
	"strings"
)

// personalProperty marks a field of a schema as personal data, as in catalogues. A Go
// field is marked by the tag data:"personal".
const personalProperty = "x-eventbus-personal"

// withPersonal returns the schema with marks on the fields that are personal in the Go
// type. If there is nothing to mark, the text is unchanged.
func withPersonal(text string, t reflect.Type) string {
	// Numbers keep their digits.
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var root any
	if decoder.Decode(&root) != nil {
		return text // only a name
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

// marker walks a schema and a Go type side by side.
type marker struct {
	named   map[string]declared // by full name
	seen    map[visit]bool
	changed bool
}

// declared is a named type, and the namespace that names inside it are relative to.
type declared struct {
	props     map[string]any
	namespace string
}

// visit is a record that was visited with a Go type, since types may contain
// themselves.
type visit struct {
	name string
	of   reflect.Type
}

// declare collects the named types of a schema and of the schemas that it refers to.
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

// nameOf returns the full name of a declaration, or "" if the type has no name.
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

// inFull returns the full name. A name with a dot is full already.
func inFull(name, namespace string) string {
	if name == "" || namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

// mark marks the fields of a type that are personal in the Go type. A Go type without
// fields, such as a map[string]any, has no marks.
func (m *marker) mark(v any, namespace string, t reflect.Type) {
	for i := 0; i < deepest && t.Kind() == reflect.Pointer; i++ { // bounded, for type P *P
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

// record marks the fields of a record that are personal in a struct.
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

// goFields adds the fields of a struct, and of structs embedded in it, by their Avro
// names. If several have one name, all count: the library decides which one is
// encoded, and it is safer to hide too much than too little.
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
