// Package mask masks personal data in events before they are shown, by the schemas that a
// catalogue and a registry have for their types.
package mask

import (
	"bytes"
	"encoding/json"
	"iter"
	"strings"

	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/internal/jsonschema"
	"github.com/eventbus-go/eventbus/internal/naming"
)

// Hidden stands for a value that is not shown.
// It has one length, whatever it hides: the length of a value may be personal as well.
const Hidden = "•••"

// maxDepth bounds schemas that refer to themselves. Data may be of any depth. Values deeper
// than this are masked.
const maxDepth = 64

// alternative is what an alternative within an alternative adds to the depth. Each may
// have several again, which may be the first one, so only a few levels can be examined.
const alternative = maxDepth / 4

// Value returns a value with the parts masked that a JSON Schema marks as personal. Parts that
// the schema does not describe, such as fields that a producer has added since, may be
// personal too, and are also masked. It changes value in place. root is the whole schema
// document, against which references are resolved.
func Value(value, schema, root any, depth int) any {
	s := resolved(schema, root)
	// null shows that a field is empty, and nothing else.
	if value == nil {
		return nil
	}
	// A mark may be beside a reference or in its target. A mark on an object hides all of it,
	// so check it before the fields.
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
	// A plain value where the schema has an object or a list is not what was declared.
	if describes(s) {
		return value
	}
	return Hidden
}

// describes reports whether a schema describes a plain value.
func describes(s map[string]any) bool {
	return len(s) > 0 && s["properties"] == nil && s["items"] == nil && s["type"] != "object" && s["type"] != "array"
}

// personal reports whether a schema itself has the mark of personal data. It does not follow
// references or alternatives.
func personal(schema any) bool {
	s, _ := schema.(map[string]any)
	return s[jsonschema.Personal] == true
}

// personalAmong reports whether one of a schema's alternatives for the value itself is
// marked as personal, such as the text of a text or null.
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

// resolved follows references within the document. It returns nil if that does not lead to a
// schema object.
func resolved(schema, root any) map[string]any {
	// References may be circular, so give up after maxDepth.
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
			// JSON Pointer escapes / and ~ in names (RFC 6901, section 4). A missing name
			// gives nil, and then a mask.
			schema = inner[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]
		}
	}
	return nil
}

// property returns the schema of a field; nil if nothing describes it.
// Declared fields come before the schema of all others, as in JSON Schema (2020-12, section
// 10.3.2.3).
func property(s map[string]any, name string, root any, depth int) any {
	if properties, _ := s["properties"].(map[string]any); properties[name] != nil {
		return properties[name]
	}
	if more, ok := s["additionalProperties"].(map[string]any); ok {
		return more
	}
	return among(s, root, depth, func(s map[string]any) any { return property(s, name, root, depth+alternative) })
}

// branch returns a schema below another.
func branch(s map[string]any, keyword string, root any, depth int) any {
	if s[keyword] != nil {
		return s[keyword]
	}
	return among(s, root, depth, func(s map[string]any) any { return branch(s, keyword, root, depth+alternative) })
}

// among returns what look finds in a schema's alternatives: that of one marked as personal
// before any other, otherwise the first. It does not determine which alternative a value
// matches: what is personal in one of them is masked in all. That hides too much rather than
// too little.
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

// Schema returns the JSON Schema of a type on a topic by the catalogues; nil if none
// has it. The first catalogue that has it decides.
func Schema(documents []*catalog.Document, topic, typ string) any {
	return find(documents, topic, typ, func(e *catalog.Event) any {
		// Schemas of Avro and Protobuf describe no JSON.
		if e.ContentType != "" && !strings.Contains(e.ContentType, "json") {
			return nil
		}
		var schema any
		// A schema of another kind, such as Protobuf's, is a text: it describes no JSON.
		if json.Unmarshal(e.Schema, &schema) == nil {
			if _, ok := schema.(map[string]any); ok {
				return schema
			}
		}
		return nil
	})
}

// Read returns the JSON Schemas of data that was read by the schema of a registry, whose
// fields are given: each of them has to let a value be shown. The registry knows what is
// personal by the marks in its schema alone, and the catalogues by those of Go types too.
// Without any, nothing is known to be harmless.
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

// find returns what look has of the first event of a type on a topic.
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

// PlainType returns the one type that catalogues have on a topic whose format is plain, and
// an empty string for any other topic: such records don't name their type. Records of types
// that no catalogue has are taken for that one, and its schema masks what it doesn't describe.
func PlainType(documents []*catalog.Document, topic string) (typ string) {
	for t := range covering(documents, topic) {
		for k := range t.Events {
			if t.Format != "plain" || typ != "" && typ != t.Events[k].Type {
				return ""
			}
			typ = t.Events[k].Type
		}
	}
	return typ
}

// covering returns the topics of catalogues that cover a full name.
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

// Covers reports whether a full name is that of a declared topic in some environment,
// or of a topic that the letters of a group are in, unless that name was chosen: what
// such a record was first read from is in its headers.
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

// JSON returns data as compact JSON without what one of the schemas marks as personal or
// does not describe. It reports false for data that is not JSON, and without a schema: then
// nothing may be shown.
func JSON(data []byte, schemas ...any) ([]byte, bool) {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(data))
	// Else a number would become a float64, and an id of 64 bits another one.
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
