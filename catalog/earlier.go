package catalog

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"

	"github.com/eventbus-go/eventbus/internal/avroschema"
	"github.com/eventbus-go/eventbus/internal/jsonschema"
)

// Catalogues up to version 0.1 did not say which floats numbers are, that the keys of a map
// are numbers, and that Avro data names no schema. They are as true as they were: what they
// leave out is not a change.

// earlierOf reports whether the schema of an event differs in nothing but what an earlier
// version left out of it. Keys of another type are not left out: they are in the examples too.
func (e *Event) earlierOf(now *Event) bool {
	if !bytes.Equal(e.Example, now.Example) || e.Example == nil && e.ContentType != avroMedia {
		return false
	}
	var was, is any
	if json.Unmarshal(e.Schema, &was) != nil || json.Unmarshal(now.Schema, &is) != nil {
		return false
	}
	return leaveOut(is) && reflect.DeepEqual(was, is)
}

// leaveOut removes from a decoded schema what earlier versions left out, and reports
// whether there was any of it.
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

// isFloat reports whether a schema is of a number whose format is that of a float.
func isFloat(s map[string]any) bool {
	types, _ := s["type"].([]any)
	return (s["type"] == "number" || slices.Contains(types, any("number"))) && (s["format"] == "float32" || s["format"] == "float64")
}

// earlier returns the document as a version that left things out wrote it, if that is what
// old is: with its schemas where they are otherwise the same.
func (d *Document) earlier(old *Document) *Document {
	kept := byName(old.Topics, topicName)
	like := *d
	like.Topics = slices.Clone(d.Topics)
	for i := range like.Topics {
		t := &like.Topics[i]
		was := kept[t.Name]
		if was == nil {
			continue
		}
		t.Events = slices.Clone(t.Events)
		for j := range t.Events {
			e := &t.Events[j]
			if k := slices.IndexFunc(was.Events, func(o Event) bool { return o.Type == e.Type }); k >= 0 && was.Events[k].earlierOf(e) {
				e.Schema = was.Events[k].Schema
			}
		}
	}
	return &like
}
