package jsonsame

import (
	"encoding/json"
	"reflect"
	"strings"
	"sync"
)

// jsonAlike says whether the fast codec treats a type as encoding/json does:
// what it accepts then, encoding/json accepts too, with the same result.
type Alike struct{ Encode, Decode bool }

// jsonTypes remembers jsonAlike by type.
var jsonTypes sync.Map

var (
	jsonMarshaler   = reflect.TypeFor[json.Marshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
)

func Of(t reflect.Type) Alike {
	known, ok := jsonTypes.Load(t)
	if !ok {
		alike := Alike{true, true}
		alike.look(t, make(map[reflect.Type]bool))
		known, _ = jsonTypes.LoadOrStore(t, alike)
	}
	return known.(Alike)
}

// look searches what the two treat differently: methods and struct tags that one
// of them does not know, and the option string, with which the fast one takes
// "+5" for a number. An interface may hold any type when it is encoded.
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
		a.look(t.Elem(), seen)
	case reflect.Pointer, reflect.Slice, reflect.Array:
		a.look(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Anonymous || f.IsExported() {
				a.lookAtTag(f.Tag.Get("json"))
				a.look(f.Type, seen)
			}
		}
	}
}

// lookAtMethods finds those of encoding/json's coming version, and the ones with
// a context that the fast codec calls by the names of encoding/json's.
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
