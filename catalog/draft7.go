package catalog

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus/internal/jsonschema"
)

// payload is the schema of the data as AsyncAPI's own schema object, a superset of
// draft-07. It is nil where the data has no JSON Schema.
func (a *asyncAPI) payload(k string, e *Event) object {
	var s object
	if json.Unmarshal(e.Schema, &s) != nil || s["$schema"] != jsonschema.Draft {
		return nil
	}
	delete(s, "$schema")
	defs, _ := s["$defs"].(map[string]any)
	delete(s, "$defs")
	for _, name := range slices.Sorted(maps.Keys(defs)) {
		if def, ok := defs[name].(map[string]any); ok {
			a.schemas[k+"."+name] = older(def, k)
		}
	}
	return older(s, k)
}

// older rewrites a schema for draft-07: its references lead to the document's
// components, and keywords beside one, which draft-07 passes over, go around it.
func older(s object, k string) object {
	out := make(object, len(s))
	for keyword, v := range s {
		if _, field := v.(map[string]any); field && keyword == "$ref" {
			continue // a field of this name: tools take it for a reference and fail
		}
		out[keyword] = olderValue(v, k)
	}
	target, ok := s["$ref"].(string)
	if !ok {
		return out
	}
	reference := ref("components", "schemas", k+"."+strings.TrimPrefix(target, "#/$defs/"))
	delete(out, "$ref")
	if len(out) == 0 {
		return reference
	}
	out["allOf"] = []any{reference}
	return out
}

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
