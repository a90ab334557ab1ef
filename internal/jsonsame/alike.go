// Package jsonsame makes the default codec, which uses a fast JSON library, behave as
// encoding/json does.
//
//	alike.go    which types the two libraries treat alike; others go to encoding/json
//	fault.go    why a value can't be encoded: errors that name the field, and no data
//	refusal.go  the same for data that can't be decoded
package jsonsame

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/eventbus-go/eventbus/internal/keypath"
)

// Alike reports whether the fast codec treats a type as encoding/json does: in each
// direction it accepts the same values and no others, with the same result.
// The zero value sends both directions to encoding/json, which is slower and never wrong.
type Alike struct{ Encode, Decode bool }

// jsonTypes caches Alike by type. Programs have few event types, so it is not
// bounded.
var jsonTypes sync.Map

var (
	jsonMarshaler   = reflect.TypeFor[json.Marshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	jsonNumber      = reflect.TypeFor[json.Number]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// Of returns whether the two codecs treat t alike. It is safe for concurrent use.
func Of(t reflect.Type) Alike {
	known, ok := jsonTypes.Load(t)
	if !ok {
		alike := Alike{true, true}
		alike.look(t, make(map[reflect.Type]bool))
		known, _ = jsonTypes.LoadOrStore(t, alike)
	}
	return known.(Alike)
}

// look searches t for anything that the codecs treat differently: methods and struct tags
// that only one of them knows, and the option string, with which the fast one accepts
// "+5" as a number. An interface may hold any type when it is encoded. seen ends the
// search in recursive types. Fields only go from true to false, so a type need not be
// visited twice.
func (a *Alike) look(t reflect.Type, seen map[reflect.Type]bool) {
	if seen[t] {
		return
	}
	seen[t] = true
	a.lookAtMethods(t)
	switch t.Kind() {
	case reflect.Interface:
		a.Encode = false
	case reflect.Map:
		a.look(t.Key(), seen)
		a.lookAtKey(t.Key())
		a.look(t.Elem(), seen)
	case reflect.Pointer, reflect.Slice, reflect.Array:
		a.look(t.Elem(), seen)
	case reflect.Struct:
		// Unexported fields are written by neither; an embedded one may promote
		// fields.
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Anonymous || f.IsExported() {
				a.lookAtTag(f.Tag.Get("json"))
				a.look(f.Type, seen)
			}
		}
	}
}

// lookAtKey looks at the type of a map's keys. encoding/json refuses all but
// strings, integers and types with a text form; the fast codec takes bools, floats
// and interfaces too.
func (a *Alike) lookAtKey(t reflect.Type) {
	switch t.Kind() {
	// These are written alike.
	case reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
	case reflect.Interface, reflect.Pointer:
		a.Encode, a.Decode = false, false
	default:
		a.Encode = a.Encode && t.Implements(keypath.TextMarshaler)
		a.Decode = a.Decode && reflect.PointerTo(t).Implements(textUnmarshaler)
	}
}

// hasOwnForm reports whether t has a method that decides what it is in JSON.
func hasOwnForm(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return slices.ContainsFunc([]reflect.Type{jsonMarshaler, jsonUnmarshaler, keypath.TextMarshaler, textUnmarshaler}, p.Implements)
}

// TakesNull reports whether null is a value of the type that pointer points to, so
// that a publisher may have meant it.
func TakesNull(pointer reflect.Type) bool {
	t := pointer.Elem()
	switch t.Kind() {
	case reflect.Interface, reflect.Map, reflect.Pointer, reflect.Slice:
		return true
	}
	return hasOwnForm(t)
}

// lookAtMethods looks for the methods of encoding/json/v2, which only that
// version calls, and for methods with a context, which the fast codec calls by
// the names that encoding/json has for others.
func (a *Alike) lookAtMethods(t reflect.Type) {
	if t.Kind() != reflect.Interface && t.Kind() != reflect.Pointer {
		t = reflect.PointerTo(t)
	}
	_, marshals := t.MethodByName("MarshalJSON")
	_, marshalsTo := t.MethodByName("MarshalJSONTo")
	if marshalsTo || marshals && !t.Implements(jsonMarshaler) {
		a.Encode = false
	}
	_, unmarshals := t.MethodByName("UnmarshalJSON")
	_, unmarshalsFrom := t.MethodByName("UnmarshalJSONFrom")
	if unmarshalsFrom || unmarshals && !t.Implements(jsonUnmarshaler) {
		a.Decode = false
	}
}

// lookAtTag looks for options that the codecs differ in. An unknown option
// counts as different, because a later version may give it a meaning.
func (a *Alike) lookAtTag(tag string) {
	_, options, _ := strings.Cut(tag, ",")
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "", "omitempty", "omitzero":
		case "string":
			a.Decode = false
		default:
			a.Encode, a.Decode = false, false
		}
	}
}
