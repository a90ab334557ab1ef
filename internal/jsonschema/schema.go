// Package jsonschema makes JSON Schemas of Go types, by the rules by which
// encoding/json writes them: whatever the codec eventbus.JSON encodes is valid
// against the schema of its type.
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

// IntegerKeys is the pattern of the names that encoding/json writes for keys that are
// integers.
const IntegerKeys = "^-?[0-9]+$"

// object is a JSON object under construction. encoding/json sorts its keys, so
// equal types make equal schemas byte for byte.
type object = map[string]any

// Describer is implemented by types that marshal themselves and know their schema.
// JSONSchema is called on the zero value and must return a JSON object of draft
// 2020-12.
type Describer interface{ JSONSchema() json.RawMessage }

// These are compared with types by their methods, or by identity.
var (
	describer     = reflect.TypeFor[Describer]()
	marshaler     = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	timeType      = reflect.TypeFor[time.Time]()
	rawType       = reflect.TypeFor[json.RawMessage]()
	numberType    = reflect.TypeFor[json.Number]()
)

// goType is the keyword with the Go type of a value that the schema doesn't describe.
const goType = "x-eventbus-goType"

// Of returns the schema of what encoding/json writes for a pointer to a t.
// The same type gives the same bytes in every run: catalogues compare them.
func Of(t reflect.Type) (json.RawMessage, error) {
	w := walk{names: make(map[place]string), defs: make(object)}
	// The event itself is never nil, so its schema doesn't allow null.
	for t.Kind() == reflect.Pointer && t.Elem().Kind() != reflect.Pointer && !selfMarshaling(t, true) {
		t = t.Elem()
	}
	// The type of the event is not put into $defs unless it contains itself.
	s := w.structure(t, true)
	if name := t.Name(); name != "" {
		s["title"] = name
	}
	// After the walk: it replaces what a Describer says, which must be of this draft.
	s["$schema"] = Draft
	if len(w.defs) > 0 {
		s["$defs"] = w.defs
	}
	return json.Marshal(s)
}

// walk goes through a type. Named types lie in $defs, which ends the walk of types
// that contain themselves.
type walk struct {
	// names has the name in defs of each type that was met.
	names map[place]string
	// defs are the schemas by name, as they will be in $defs.
	defs object
}

// place is a type together with whether its values are addressable: encoding/json
// calls methods of the pointer only for those, so one type may have two schemas.
type place struct {
	t    reflect.Type
	addr bool
}

// of returns the schema of a value inside another, for named types a reference to
// theirs. addr says whether the value is addressable.
// A type without a package, such as []string, has no name to refer to.
func (w *walk) of(t reflect.Type, addr bool) object {
	if t.PkgPath() == "" || selfMarshaling(t, addr) || !composite(t) {
		return w.structure(t, addr)
	}
	p := place{t, addr}
	name, ok := w.names[p]
	if !ok {
		name = w.free(t)
		w.names[p] = name
		// The name is taken while the type itself is looked at: inside itself it is
		// a reference.
		w.defs[name] = object{}
		w.defs[name] = w.structure(t, addr)
	}
	return object{"$ref": "#/$defs/" + name}
}

// composite reports whether a type deserves a definition of its own. Scalars are
// shorter than a reference to them.
func composite(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice, reflect.Array, reflect.Pointer:
		return t != timeType && t != rawType
	}
	return false
}

// free returns a unique name for a type: types of several packages may have the same
// name.
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

// selfMarshaling reports whether a method of the type decides how it is written.
func selfMarshaling(t reflect.Type, addr bool) bool {
	return has(t, addr, describer) || has(t, addr, marshaler) || has(t, addr, textMarshaler)
}

// has reports whether encoding/json finds a method on a value of t.
// One with a pointer receiver only where the value has an address.
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
		// A nil pointer without methods of its own is written as null.
		return orNull(w.of(t.Elem(), true))
	case t.Kind() == reflect.Pointer && t.Elem() == timeType:
		return orNull(object{"type": "string", "format": "date-time"})
	// Before marshaler: a type that marshals itself is what Describer is for.
	case has(t, addr, describer):
		return described(t)
	// Whatever the method writes is valid, since nothing is known about it.
	case has(t, addr, marshaler):
		return object{goType: t.String()}
	case has(t, addr, textMarshaler):
		if k := t.Kind(); k == reflect.Pointer || k == reflect.Interface {
			// encoding/json writes null for nil and does not call the method.
			return object{"type": []string{"string", "null"}}
		}
		return object{"type": "string"}
	}
	return w.kind(t, addr)
}

// described returns the schema that a type's JSONSchema method returns. It ignores a
// text that is not a schema.
func described(t reflect.Type) object {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var s object
	// The method may have either receiver; a new value has both.
	d, ok := reflect.TypeAssert[Describer](reflect.New(t))
	if !ok || json.Unmarshal(d.JSONSchema(), &s) != nil || s == nil {
		return object{goType: t.String()}
	}
	return s
}

// kind returns the schema of a type without methods, by its kind.
func (w *walk) kind(t reflect.Type, addr bool) object {
	switch k := t.Kind(); k {
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		// The format is not in the standard; it keeps the width, which catalogues
		// compare.
		return object{"type": "integer", "format": k.String()}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return object{"type": "integer", "format": k.String(), "minimum": 0}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number", "format": k.String()}
	case reflect.String:
		if t == numberType {
			return object{"type": "number"}
		}
		return object{"type": "string"}
	case reflect.Slice:
		if isBytes(t) {
			// A nil slice is null, an empty one "".
			return object{"type": []string{"string", "null"}, "contentEncoding": "base64"}
		}
		return object{"type": []string{"array", "null"}, "items": w.of(t.Elem(), true)}
	case reflect.Array:
		// An array has no other length.
		return object{"type": "array", "items": w.of(t.Elem(), addr), "minItems": t.Len(), "maxItems": t.Len()}
	case reflect.Map:
		s := object{"type": []string{"object", "null"}, "additionalProperties": w.of(t.Elem(), false)}
		// encoding/json writes numbers as text, and reads no other keys.
		if keys := w.kind(t.Key(), false); keys["type"] == "integer" && !t.Key().Implements(textMarshaler) {
			s["propertyNames"] = object{"pattern": IntegerKeys, "format": keys["format"]}
		}
		return s
	case reflect.Struct:
		return w.fields(t, addr)
	// An interface may hold anything.
	case reflect.Interface:
		return object{}
	}
	// Channels, functions and complex numbers are never encoded: no value is valid.
	return object{"not": object{}, goType: t.String()}
}

// isBytes reports whether encoding/json writes a slice in base64.
func isBytes(t reflect.Type) bool {
	if t.Elem().Kind() != reflect.Uint8 {
		return false
	}
	p := reflect.PointerTo(t.Elem())
	return !p.Implements(marshaler) && !p.Implements(textMarshaler)
}

// orNull returns a schema that takes null too. It may change s.
func orNull(s object) object {
	switch t := s["type"].(type) {
	case string:
		s["type"] = []string{t, "null"}
		return s
	case []string:
		return s
	}
	// A schema of anything takes null already.
	if len(s) == 0 || s[goType] != nil && s["not"] == nil {
		return s
	}
	return object{"anyOf": []object{s, {"type": "null"}}}
}

// notNull returns a schema without null, for a field that is left out in its place.
// It may change s, which is of this field alone unless it is a reference.
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
