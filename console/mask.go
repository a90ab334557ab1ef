package console

import (
	"encoding/json"
	"strings"

	"github.com/eventbus-go/eventbus/internal/jsonschema"
)

// mask stands for a value that is not shown.
// It has one length, whatever it hides: the length of a value may be personal as well.
const mask = "•••"

// maxDepth bounds schemas that refer to themselves.
// Data is as deep as its producer likes. What lies deeper than this is masked.
const maxDepth = 64

// masked returns a value without what a JSON Schema marks as personal. What the schema
// does not describe may be personal too, and is masked with it: a field that a producer
// added since.
// It changes value, which was decoded for this alone. The root is the whole document, which
// references are resolved against.
func masked(value, schema, root any, depth int) any {
	s := resolved(schema, root)
	// null shows that a field is empty, and nothing else.
	if value == nil {
		return nil
	}
	// A mark may stand beside a reference or in what that refers to. A mark on an object hides
	// all of it, and so comes before a look inside.
	if s == nil || depth > maxDepth || personal(schema) || personal(s) {
		return mask
	}
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			v[name] = masked(inner, property(s, name, root, depth), root, depth+1)
		}
		return v
	case []any:
		for i, inner := range v {
			v[i] = masked(inner, branch(s, "items", root, depth), root, depth+1)
		}
		return v
	}
	// A plain value where the schema has an object or a list is not what was declared.
	if describes(s) {
		return value
	}
	return mask
}

// describes reports whether a schema is that of a plain value.
func describes(s map[string]any) bool {
	return len(s) > 0 && s["properties"] == nil && s["items"] == nil && s["type"] != "object" && s["type"] != "array"
}

// personal reports whether a schema has the mark of personal data itself. It looks into no
// reference and no alternative.
func personal(schema any) bool {
	s, _ := schema.(map[string]any)
	return s[jsonschema.Personal] == true
}

// resolved follows references within the document, and returns nil for what is no
// schema that could be looked into.
func resolved(schema, root any) map[string]any {
	// References may go round in a circle: after so many there is no schema.
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
			// JSON Pointer writes / and ~ in names so (RFC 6901, section 4). A name that is missing gives
			// nil, which ends in a mask.
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
	return among(s, root, depth, func(s map[string]any) any { return property(s, name, root, depth+1) })
}

// branch returns a schema below another.
func branch(s map[string]any, keyword string, root any, depth int) any {
	if s[keyword] != nil {
		return s[keyword]
	}
	return among(s, root, depth, func(s map[string]any) any { return branch(s, keyword, root, depth+1) })
}

// among returns the first of a schema's alternatives that has what is looked for, and
// one that is marked as personal before any other.
// It does not examine which alternative a value is of: what is personal in one of them is
// masked in all. That hides too much rather than too little.
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

// schema returns the JSON Schema of a type on a topic by the catalogues; nil if none
// has it.
// The first catalogue that has it decides, which is a member's rather than that of Config.
func (d *desk) schema(topic, typ string) any {
	for _, document := range d.catalogs() {
		for i := range document.Topics {
			t := &document.Topics[i]
			// The name of the topic without the environment, of the topic itself or of
			// one that its letters are in.
			_, rest, _ := strings.Cut(topic, ".")
			if rest != t.Name && !strings.HasPrefix(rest, t.Name+".") {
				continue
			}
			for _, e := range t.Events {
				// Schemas of Avro and Protobuf describe no JSON.
				if e.ContentType != "" && !strings.Contains(e.ContentType, "json") {
					continue
				}
				var schema any
				if e.Type == typ && json.Unmarshal(e.Schema, &schema) == nil {
					// A schema of another kind, such as Protobuf's, is a text: it describes no JSON.
					if _, ok := schema.(map[string]any); ok {
						return schema
					}
				}
			}
		}
	}
	return nil
}
