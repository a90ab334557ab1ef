package catalog

import (
	"maps"
	"slices"

	"github.com/eventbus-go/eventbus/internal/avroschema"
)

// avroFormat is the schemaFormat of Avro, with the newest version that AsyncAPI lists.
const avroFormat = "application/vnd.apache.avro+json;version=1.9.0"

// payload returns the schema of the data: AsyncAPI's own schema object, a superset of
// draft-07, or a Protobuf or Avro schema with the name of its format. It returns nil
// if there is none that AsyncAPI can express.
func (a *asyncAPI) payload(k string, e *Event) object {
	if e.ContentType == protobufMedia && a.options.Protobuf != nil {
		if format, text, err := a.options.Protobuf(e.Schema); err == nil {
			return object{"schemaFormat": format, "schema": text}
		}
	}
	d := new(schemaDocument)
	if decode(e.Schema, &d.root) != nil {
		return nil
	}
	// A schema with references to other registered schemas is incomplete, and tools
	// could not resolve its names.
	if e.ContentType == avroMedia && d.root[avroschema.References] == nil {
		return object{"schemaFormat": avroFormat, "schema": d.root}
	}
	if !d.understood() {
		return nil
	}
	s := d.root
	// AsyncAPI defines the draft of its schemas. d was parsed here, so the event's own
	// schema does not change.
	delete(s, "$schema")
	for _, keyword := range definitions {
		defs, _ := s[keyword].(map[string]any)
		delete(s, keyword)
		for _, name := range slices.Sorted(maps.Keys(defs)) {
			if def, ok := defs[name].(map[string]any); ok {
				// The name includes the message's key, since definitions of two types
				// may have the same name.
				a.schemas[k+"."+key(name)] = older(def, k)
			}
		}
	}
	return older(s, k)
}

// older returns a schema for draft-07. References lead to the document's components.
// Since draft-07 ignores keywords beside a reference, such a reference moves into
// allOf.
func older(s object, k string) object {
	out := make(object, len(s))
	// Every object inside is rewritten, whether it is a schema or not, since any may
	// contain a reference.
	for keyword, v := range s {
		if _, field := v.(map[string]any); field && keyword == "$ref" {
			continue // a field named $ref, which tools would read as a reference
		}
		out[keyword] = olderValue(v, k)
	}
	// A pattern that nothing but the name matches says the same of such a field.
	fields, _ := s["properties"].(map[string]any)
	if field, ok := fields["$ref"].(map[string]any); ok {
		patterns, _ := out["patternProperties"].(object)
		if patterns == nil {
			patterns = make(object)
			out["patternProperties"] = patterns
		}
		patterns[`^\$ref$`] = older(field, k)
	}
	target, ok := s["$ref"].(string)
	if !ok {
		return out
	}
	delete(out, "$ref")
	name, inside := definition(target)
	if !inside {
		return out // it leads out of the schema
	}
	reference := ref("components", "schemas", k+"."+key(name))
	if len(out) == 0 {
		return reference
	}
	out["allOf"] = []any{reference}
	return out
}

// olderValue rewrites the schemas inside a keyword's value.
func olderValue(v any, k string) any {
	switch v := v.(type) {
	case map[string]any:
		return older(v, k)
	case []any:
		all := make([]any, len(v))
		for i := range v {
			all[i] = olderValue(v[i], k)
		}
		return all
	}
	return v
}

// refers reports whether a field anywhere in an example is called $ref.
func refers(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			if name == "$ref" || refers(inner) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, refers)
	}
	return false
}
