// Package avroschema reads the names, fields and defaults of Avro schemas. With it, programs
// that only describe events need no library that encodes and decodes.
package avroschema

import (
	"fmt"
	"slices"
	"strings"
)

// Type is a type of an Avro schema (version 1.12), with its name in full.
type Type struct {
	Kind      string // a primitive, record, enum, fixed, array, map or union
	Name      string
	Props     map[string]any // as it was declared
	Namespace string         // that names inside of it are relative to
}

// Schema finds types by the names that others refer to them by. It refers to what New was
// given, without changing it.
type Schema struct{ named map[string]Type }

// References is the member of a schema's text with the schemas that it refers to.
const References = "x-eventbus-references"

// Unnamed is the member of a schema's text that says that events do not name their schema, so
// that readers use their own.
const Unnamed = "x-eventbus-unnamed"

// New returns a schema, given as decoded JSON, and its type.
func New(root any) (*Schema, Type) {
	s := &Schema{make(map[string]Type)}
	// Collect all names first: a field may refer to a type that is declared elsewhere.
	s.declare(root, "")
	return s, s.Read(root, "")
}

// Read returns the type that a part of a schema stands for: a declaration, the name of one,
// or a union. For anything else the result has a kind that is none of Avro's.
func (s *Schema) Read(v any, namespace string) Type {
	switch v := v.(type) {
	case string:
		// Prefer a declared name to a primitive. No type may have the name of a primitive, so
		// the order matters only for invalid schemas.
		if t, ok := s.named[inFull(v, namespace)]; ok {
			return t
		}
		return Type{Kind: v}
	case []any:
		return Type{Kind: "union", Props: map[string]any{"branches": v}, Namespace: namespace}
	case map[string]any:
		// A declaration may wrap another to add attributes.
		kind, ok := v["type"].(string)
		if !ok {
			return s.Read(v["type"], namespace) // {"type": {…}}
		}
		t := Type{Kind: kind, Props: v, Namespace: namespace}
		// Only these four kinds are named. A name on any other is an attribute.
		if name, ok := v["name"].(string); ok && slices.Contains([]string{"record", "error", "enum", "fixed"}, kind) {
			// A name with dots wins over a namespace beside it, which inFull sees to.
			if own, ok := v["namespace"].(string); ok {
				namespace = own
			}
			t.Name = inFull(name, namespace)
			// Names inside are relative to the namespace of the full name, whichever way that
			// was written.
			t.Namespace = t.Name[:max(strings.LastIndexByte(t.Name, '.'), 0)]
			s.named[t.Name] = t
		} else if known, ok := s.named[inFull(kind, namespace)]; ok {
			return known
		}
		return t
	}
	return Type{Kind: fmt.Sprint(v)}
}

// inFull returns the full name. A name with a dot is already full ("Names" in the
// specification).
func inFull(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

// declare reads all types of a schema, in the order in which they are declared: names
// may be used from then on.
func (s *Schema) declare(v any, namespace string) {
	switch v := v.(type) {
	case []any:
		for _, branch := range v {
			s.declare(branch, namespace)
		}
	case map[string]any:
		// Referenced schemas come first, as registries resolve them.
		references, _ := v[References].([]any)
		for _, r := range references {
			s.declare(r, "")
		}
		// Record the type under its name.
		if t := s.Read(v, namespace); t.Name != "" {
			namespace = t.Namespace
		}
		fields, _ := v["fields"].([]any)
		for _, f := range fields {
			if field, ok := f.(map[string]any); ok {
				s.declare(field["type"], namespace)
			}
		}
		// A string is a name, and declares nothing.
		for _, inner := range []any{v["type"], v["items"], v["values"]} {
			if _, name := inner.(string); !name && inner != nil {
				s.declare(inner, namespace)
			}
		}
	}
}
