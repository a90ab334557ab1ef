package catalog

import (
	"encoding/json"
	"reflect"
	"slices"

	"github.com/eventbus-go/eventbus/internal/avroschema"
	"github.com/eventbus-go/eventbus/internal/jsonschema"
)

// Catalogues of version 0.1 and earlier do not say which float format a number has,
// that the keys of a map are numbers, or that Avro data names no schema. What they
// leave out does not count as a change.

// leftOut reports whether two schemas differ only in what an earlier version left out
// of old.
func leftOut(old, now json.RawMessage) bool {
	var was, is any
	if decode(old, &was) != nil || decode(now, &is) != nil {
		return false
	}
	return leaveOut(is) && reflect.DeepEqual(was, is)
}

// leaveOut removes from a decoded schema what earlier versions left out, and reports
// whether it removed anything.
func leaveOut(v any) (found bool) {
	switch v := v.(type) {
	case []any:
		for _, inner := range v {
			found = leaveOut(inner) || found
		}
	case map[string]any:
		keys, _ := v["propertyNames"].(map[string]any)
		for keyword, there := range map[string]bool{
			"format": isFloat(v), "propertyNames": keys["pattern"] == jsonschema.IntegerKeys, avroschema.Unnamed: v[avroschema.Unnamed] == true,
		} {
			if there {
				delete(v, keyword)
				found = true
			}
		}
		for _, inner := range v {
			found = leaveOut(inner) || found
		}
	}
	return found
}

// isFloat reports whether a schema is that of a number with a float format.
func isFloat(s map[string]any) bool {
	types, _ := s["type"].([]any)
	return (s["type"] == "number" || slices.Contains(types, any("number"))) && (s["format"] == "float32" || s["format"] == "float64")
}
