// Package jsonschema makes JSON Schemas of Go types, by the rules by which
// encoding/json writes them: whatever the codec eventbus.JSON encodes is valid by
// the schema of its type.
//
//	schema.go   Of: a type as JSON Schema, draft 2020-12
//	struct.go   fields: names, which are left out, which are embedded
//	example.go  Example: a value of a type with something in every field
package jsonschema

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Draft is the dialect of the schemas, by its URI.
const Draft = "https://json-schema.org/draft/2020-12/schema"

// object is a JSON object under construction. encoding/json sorts its keys, so
// equal types make equal schemas byte for byte.
type object = map[string]any

// Describer is implemented by types that marshal themselves and know their schema.
type Describer interface{ JSONSchema() json.RawMessage }

var (
	describer     = reflect.TypeFor[Describer]()
	marshaler     = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	timeType      = reflect.TypeFor[time.Time]()
	rawType       = reflect.TypeFor[json.RawMessage]()
	numberType    = reflect.TypeFor[json.Number]()
)

// goType names the Go type of a value that the schema says nothing about.
const goType = "x-eventbus-goType"

// Of returns the schema of what encoding/json writes for a pointer to a t.
func Of(t reflect.Type) (json.RawMessage, error) {
	w := walk{names: make(map[place]string), defs: make(object)}
	for t.Kind() == reflect.Pointer && t.Elem().Kind() != reflect.Pointer && !selfMarshaling(t, true) {
		t = t.Elem() // the event itself is never nil
	}
	s := w.structure(t, true)
	if name := t.Name(); name != "" {
		s["title"] = name
	}
	s["$schema"] = Draft
	if len(w.defs) > 0 {
		s["$defs"] = w.defs
	}
	return json.Marshal(s)
}

// walk goes through a type. Named types lie in $defs, which is how a type that
// holds itself ends.
type walk struct {
	names map[place]string
	defs  object
}

// place is a type and whether its values can be addressed: methods of its pointer
// are called then, and not otherwise.
type place struct {
	t    reflect.Type
	addr bool
}

// of returns the schema of a value inside another.
func (w *walk) of(t reflect.Type, addr bool) object {
	if t.PkgPath() == "" || selfMarshaling(t, addr) || !composite(t) {
		return w.structure(t, addr)
	}
	p := place{t, addr}
	name, ok := w.names[p]
	if !ok {
		name = w.free(t)
		w.names[p] = name
		w.defs[name] = object{} // taken, while the type itself is looked at
		w.defs[name] = w.structure(t, addr)
	}
	return object{"$ref": "#/$defs/" + name}
}

func composite(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice, reflect.Array, reflect.Pointer:
		return t != timeType && t != rawType
	}
	return false
}

// free returns a name for a type that no other has.
func (w *walk) free(t reflect.Type) string {
	plain := strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, t.Name())
	name := plain
	for n := 2; w.defs[name] != nil; n++ {
		name = plain + strconv.Itoa(n)
	}
	return name
}

func selfMarshaling(t reflect.Type, addr bool) bool {
	return has(t, addr, describer) || has(t, addr, marshaler) || has(t, addr, textMarshaler)
}

// has reports whether encoding/json finds a method on a value of t.
func has(t reflect.Type, addr bool, method reflect.Type) bool {
	return t.Implements(method) || addr && t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(method)
}

// structure returns the schema of t itself, in the order in which encoding/json
// looks at a type.
func (w *walk) structure(t reflect.Type, addr bool) object {
	switch {
	case t == timeType:
		return object{"type": "string", "format": "date-time"}
	case t == rawType:
		return object{}
	case t.Kind() == reflect.Pointer && !t.Implements(marshaler) && !t.Implements(textMarshaler):
		return orNull(w.of(t.Elem(), true))
	case t.Kind() == reflect.Pointer && t.Elem() == timeType:
		return orNull(object{"type": "string", "format": "date-time"})
	case has(t, addr, describer):
		return described(t)
	case has(t, addr, marshaler):
		return object{goType: t.String()}
	case has(t, addr, textMarshaler):
		if k := t.Kind(); k == reflect.Pointer || k == reflect.Interface {
			return object{"type": []string{"string", "null"}}
		}
		return object{"type": "string"}
	}
	return w.kind(t, addr)
}

// described is what a type says of itself. Nothing is promised of a text that is no
// schema.
func described(t reflect.Type) object {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var s object
	d, ok := reflect.TypeAssert[Describer](reflect.New(t))
	if !ok || json.Unmarshal(d.JSONSchema(), &s) != nil || s == nil {
		return object{goType: t.String()}
	}
	return s
}

func (w *walk) kind(t reflect.Type, addr bool) object {
	switch k := t.Kind(); k {
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return object{"type": "integer", "format": k.String()}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return object{"type": "integer", "format": k.String(), "minimum": 0}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.String:
		if t == numberType {
			return object{"type": "number"}
		}
		return object{"type": "string"}
	case reflect.Slice:
		if isBytes(t) {
			return object{"type": []string{"string", "null"}, "contentEncoding": "base64"}
		}
		return object{"type": []string{"array", "null"}, "items": w.of(t.Elem(), true)}
	case reflect.Array:
		return object{"type": "array", "items": w.of(t.Elem(), addr), "minItems": t.Len(), "maxItems": t.Len()}
	case reflect.Map:
		return object{"type": []string{"object", "null"}, "additionalProperties": w.of(t.Elem(), false)}
	case reflect.Struct:
		return w.fields(t, addr)
	case reflect.Interface:
		return object{}
	}
	return object{"not": object{}, goType: t.String()} // channels, functions, complex numbers: never encoded
}

// isBytes reports whether encoding/json writes a slice in base64.
func isBytes(t reflect.Type) bool {
	if t.Elem().Kind() != reflect.Uint8 {
		return false
	}
	p := reflect.PointerTo(t.Elem())
	return !p.Implements(marshaler) && !p.Implements(textMarshaler)
}

// orNull is a schema that takes null too.
func orNull(s object) object {
	switch t := s["type"].(type) {
	case string:
		s["type"] = []string{t, "null"}
		return s
	case []string:
		return s
	}
	if len(s) == 0 || s[goType] != nil && s["not"] == nil {
		return s
	}
	return object{"anyOf": []object{s, {"type": "null"}}}
}

// notNull is a schema without null, for a field that is left out in its place.
func notNull(s object) object {
	switch t := s["type"].(type) {
	case []string:
		if len(t) == 2 && t[1] == "null" {
			s["type"] = t[0]
		}
	}
	if either, ok := s["anyOf"].([]object); ok && len(either) == 2 {
		return either[0]
	}
	return s
}
