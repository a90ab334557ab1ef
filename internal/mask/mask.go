// Package mask removes personal fields from an event's data before it is shown, by the
// schemas of its type in a catalogue and a registry.
package mask

import (
	"bytes"
	"encoding/json"
	"iter"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/internal/jsonschema"
	"github.com/eventbus-go/eventbus/internal/naming"
)

// Hidden replaces a value that is not shown. Its length is fixed, since the length of a
// value may be personal too.
const Hidden = "•••"

// maxDepth bounds recursive schemas and nested data. Anything deeper is masked.
const maxDepth = 64

// alternative is what each level of alternatives adds to the depth. Alternatives may nest
// and recur, so only a few levels are examined.
const alternative = maxDepth / 4

// Value returns a value without the parts that a JSON Schema marks as personal. It also
// masks what the schema does not describe, such as fields that a producer added later,
// since that may be personal too. It changes value in place. root is the whole schema
// document, against which references are resolved.
func Value(value, schema, root any, depth int) any {
	s := resolved(schema, root)
	// null only shows that a field is empty.
	if value == nil {
		return nil
	}
	// The mark may stand beside a reference or in its target. A mark on an object hides all of
	// it, so it is checked first.
	if s == nil || depth > maxDepth || personal(schema) || personal(s) || personalAmong(s, root, depth) {
		return Hidden
	}
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			v[name] = Value(inner, property(s, name, root, depth), root, depth+1)
		}
		return v
	case []any:
		for i, inner := range v {
			v[i] = Value(inner, branch(s, "items", root, depth), root, depth+1)
		}
		return v
	}
	// A plain value where the schema has an object or a list is not described by it.
	if describes(s) {
		return value
	}
	return Hidden
}

// describes reports whether a schema describes a plain value.
func describes(s map[string]any) bool {
	return len(s) > 0 && s["properties"] == nil && s["items"] == nil && s["type"] != "object" && s["type"] != "array"
}

// personal reports whether a schema itself is marked as personal. It follows no references
// or alternatives.
func personal(schema any) bool {
	s, _ := schema.(map[string]any)
	return s[jsonschema.Personal] == true
}

// personalAmong reports whether any alternative for the value itself is marked as personal,
// such as the text in "text or null".
func personalAmong(s map[string]any, root any, depth int) bool {
	if depth > maxDepth {
		return true // unknown, and so hidden
	}
	return among(s, root, depth, func(s map[string]any) any {
		if personal(s) || personalAmong(s, root, depth+alternative) {
			return map[string]any{jsonschema.Personal: true}
		}
		return nil
	}) != nil
}

// resolved follows references within the document. It returns nil if they lead to no
// schema.
func resolved(schema, root any) map[string]any {
	// References may form a circle, so only so many are followed.
	for range maxDepth {
		s, _ := schema.(map[string]any)
		ref, _ := s["$ref"].(string)
		if ref == "" {
			return s
		}
		schema = root
		for name := range strings.SplitSeq(strings.TrimPrefix(strings.TrimPrefix(ref, "#"), "/"), "/") {
			if name == "" {
				continue
			}
			inner, _ := schema.(map[string]any)
			// JSON Pointer escapes / and ~ in names (RFC 6901, section 4). A missing name gives nil,
			// and so a masked value.
			schema = inner[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]
		}
	}
	return nil
}

// property returns the schema of a field, or nil if nothing describes it. As in JSON Schema
// (2020-12, section 10.3.2.3), declared fields come before additionalProperties.
func property(s map[string]any, name string, root any, depth int) any {
	if properties, _ := s["properties"].(map[string]any); properties[name] != nil {
		return properties[name]
	}
	if more, ok := s["additionalProperties"].(map[string]any); ok {
		return more
	}
	return among(s, root, depth, func(s map[string]any) any { return property(s, name, root, depth+alternative) })
}

// branch returns the subschema under a keyword, or nil.
func branch(s map[string]any, keyword string, root any, depth int) any {
	if s[keyword] != nil {
		return s[keyword]
	}
	return among(s, root, depth, func(s map[string]any) any { return branch(s, keyword, root, depth+alternative) })
}

// among returns the first result of look among a schema's alternatives, but prefers one that
// is marked as personal. It does not check which alternative the value matches: what is
// personal in one of them is masked in all, which hides too much rather than too little.
func among(s map[string]any, root any, depth int, look func(map[string]any) any) (found any) {
	if depth > maxDepth {
		return nil
	}
	for _, keyword := range []string{"allOf", "anyOf", "oneOf"} {
		all, _ := s[keyword].([]any)
		for _, inner := range all {
			if personal(inner) {
				return inner
			}
			switch of := look(resolved(inner, root)); {
			case of != nil && personal(of):
				return of
			case of != nil && found == nil:
				found = of
			}
		}
	}
	return found
}

// Schema returns the JSON Schema of a type on a topic from the first catalogue that has it,
// or nil.
func Schema(documents []*catalog.Document, topic, typ string) any {
	return find(documents, topic, typ, func(e *catalog.Event) any {
		// Avro and Protobuf schemas do not describe JSON.
		if e.ContentType != "" && !strings.Contains(e.ContentType, "json") {
			return nil
		}
		var schema any
		// A schema that is a JSON string is text in another language.
		if json.Unmarshal(e.Schema, &schema) == nil {
			if _, ok := schema.(map[string]any); ok {
				return schema
			}
		}
		return nil
	})
}

// Read returns the JSON Schemas by which to mask data that was decoded by a registry's
// schema, whose fields are given. A value is shown only if each of them allows it: the
// registry knows only the marks in its own schema, and the catalogues those of Go types too.
// Without any schema, Read returns nil, and nothing may be shown.
func Read(documents []*catalog.Document, topic, typ string, fields map[string]any) []any {
	if schema := Schema(documents, topic, typ); schema != nil {
		return []any{schema}
	}
	if fields == nil {
		return nil
	}
	all := []any{fields}
	declared := find(documents, topic, typ, func(e *catalog.Event) any {
		if e.ContentType != "application/avro" {
			return nil
		}
		return avroFields(e.Schema)
	})
	if declared != nil {
		all = append(all, declared)
	}
	return all
}

// find returns the first non-nil result of look for an event of a type on a topic.
func find(documents []*catalog.Document, topic, typ string, look func(*catalog.Event) any) any {
	for t := range covering(documents, topic) {
		for k := range t.Events {
			if e := &t.Events[k]; e.Type == typ {
				if found := look(e); found != nil {
					return found
				}
			}
		}
	}
	return nil
}

// PlainType returns the only type that catalogues have on a topic whose format is plain, or
// "" for any other topic, since plain records don't name their type. Records of other types
// pass for it; its schema then masks what it does not describe.
func PlainType(documents []*catalog.Document, topic string) string {
	if types := PlainTypes(documents, topic); len(types) == 1 {
		return types[0]
	}
	return ""
}

// PlainTypes returns the types that catalogues have on a topic whose format is plain, or
// nil for any other topic.
func PlainTypes(documents []*catalog.Document, topic string) (types []string) {
	for t := range covering(documents, topic) {
		for k := range t.Events {
			if t.Format != "plain" {
				return nil
			}
			if typ := t.Events[k].Type; !slices.Contains(types, typ) {
				types = append(types, typ)
			}
		}
	}
	return types
}

// covering returns the catalogues' topics that cover a full name.
func covering(documents []*catalog.Document, topic string) iter.Seq[*catalog.Topic] {
	return func(yield func(*catalog.Topic) bool) {
		for _, document := range documents {
			for i := range document.Topics {
				if t := &document.Topics[i]; Covers(t, topic) && !yield(t) {
					return
				}
			}
		}
	}
}

// Covers reports whether a full name is that of a declared topic in some environment, or of
// a topic with letters of a group, unless that name was chosen: then the record's headers say
// which topic it was first read from.
func Covers(t *catalog.Topic, full string) bool {
	letters := naming.IsDead(full) || naming.IsRetry(full)
	is := func(name string) bool {
		return name != "" && (full == name || letters && strings.HasPrefix(full, name+"."))
	}
	for _, name := range t.Names {
		if is(name) {
			return true
		}
	}
	for _, name := range t.Addresses {
		if is(name) {
			return true
		}
	}
	env, _, _ := strings.Cut(full, ".")
	name, err := t.In(env)
	return err == nil && is(name)
}

// JSON returns data as compact JSON without the parts that any of the schemas marks as
// personal or does not describe. It reports false if data is not JSON or there are no
// schemas; then nothing may be shown.
func JSON(data []byte, schemas ...any) ([]byte, bool) {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(data))
	// As a float64, a 64-bit id would change.
	decoder.UseNumber()
	if len(schemas) == 0 || decoder.Decode(&value) != nil {
		return nil, false
	}
	for _, schema := range schemas {
		value = Value(value, schema, schema, 0)
	}
	text, err := json.Marshal(value)
	return text, err == nil
}
