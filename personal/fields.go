package personal

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
)

// tag and personal mark a field with personal data: `data:"personal"`. Catalogues and
// the gate use the same tag.
const tag, personal = "data", "personal"

// deepest bounds how deep values are nested. Deeper ones are circular.
const deepest = 1000

// errTooDeep is the error of a value that is nested too deep.
var errTooDeep = fmt.Errorf("the value is nested more than %d deep, or circular", deepest)

// found remembers which types have personal fields.
var found sync.Map // of reflect.Type to verdict

// verdict is what a type's declaration says.
type verdict struct {
	has bool
	err error // a personal field that is not a string
}

// inspect returns whether values of a type may hold personal strings.
func inspect(t reflect.Type) verdict {
	// Two goroutines may look at one type at once: both come to the same verdict.
	if v, ok := found.Load(t); ok {
		return v.(verdict)
	}
	var v verdict
	w := typeWalk{make(map[visit]bool), make(map[reflect.Type]bool), &v}
	w.look(t, false, t.String())
	found.Store(t, v)
	return v
}

// visit is a type, and whether it was reached through a personal field.
type visit struct {
	t      reflect.Type
	marked bool
}

// typeWalk visits a type and its parts, each once.
type typeWalk struct {
	seen map[visit]bool
	// asked are the types that holds was asked about.
	asked map[reflect.Type]bool
	v     *verdict
}

// look visits a type. marked reports whether it is that of a personal field, where
// only strings are possible: a marked type that breaks out of the switch is an error.
func (w typeWalk) look(t reflect.Type, marked bool, path string) {
	if w.seen[visit{t, marked}] {
		return
	}
	// Before its parts: a type may contain itself.
	w.seen[visit{t, marked}] = true
	switch t.Kind() {
	case reflect.String:
		w.v.has = w.v.has || marked
		return
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
			break // bytes
		}
		// In a personal field, all elements of a list or a map are personal.
		w.look(t.Elem(), marked, path)
		return
	case reflect.Struct:
		if marked {
			break
		}
		w.fields(t, path)
		return
	}
	if marked && w.v.err == nil {
		w.v.err = fmt.Errorf("%s is personal and of type %s: only strings can be encrypted in place, so use strings, or Config.Whole", path, t)
	}
}

// fields visits the fields of a struct that an encoder can see.
func (w typeWalk) fields(t reflect.Type, path string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name := path + "." + f.Name
		switch {
		case f.IsExported(), f.Anonymous && f.Type.Kind() == reflect.Struct:
			w.look(f.Type, f.Tag.Get(tag) == personal, name)
		case f.Anonymous && f.Type.Kind() == reflect.Pointer && (f.Tag.Get(tag) == personal || w.holds(f.Type.Elem())) && w.v.err == nil:
			// Encoders see its fields, and reflection can't replace the pointer.
			w.v.err = fmt.Errorf("%s is an embedded pointer to an unexported type with personal data, which can't be encrypted in place: embed the type itself, or export it", name)
		}
	}
}

// holds reports whether a type has personal fields, of any type. Types may embed each other: a
// second question about one is answered where the first is.
func (w typeWalk) holds(t reflect.Type) bool {
	if w.asked[t] {
		return false
	}
	w.asked[t] = true
	var v verdict
	typeWalk{make(map[visit]bool), w.asked, &v}.look(t, false, t.String())
	return v.has || v.err != nil
}

// replace calls f with each personal string of v that is not empty, and its path, and
// returns v with what f returned in their place. v itself stays as it is: what has to
// change is copied.
func replace(v reflect.Value, f func(text, path string) (string, error)) (reflect.Value, error) {
	r := replacer{f}
	return r.value(v, false, "", 0)
}

// replacer copies values with their personal strings replaced. Its methods return the
// copy. The path of a string goes into errors, and its ciphertext is bound to it.
type replacer struct {
	f func(text, path string) (string, error)
}

// value copies a value of any kind. depth is bounded, because the copy of a circular
// value would never end.
func (r replacer) value(v reflect.Value, marked bool, path string, depth int) (reflect.Value, error) {
	if depth > deepest {
		return v, errTooDeep
	}
	// Nothing below can change, so the copy shares it with the original.
	if !marked && !inspect(v.Type()).has {
		return v, nil
	}
	switch v.Kind() {
	case reflect.String:
		return r.text(v, path)
	case reflect.Pointer:
		return r.pointer(v, marked, path, depth)
	case reflect.Slice, reflect.Array:
		return r.list(v, marked, path, depth)
	case reflect.Map:
		return r.mapping(v, marked, path, depth)
	case reflect.Struct:
		return r.structure(v, path, depth)
	}
	return v, nil
}

// text replaces a personal string.
func (r replacer) text(v reflect.Value, path string) (reflect.Value, error) {
	if v.Len() == 0 {
		return v, nil // there is nothing to hide
	}
	text, err := r.f(v.String(), path)
	if err != nil {
		return v, err
	}
	fresh := reflect.New(v.Type()).Elem()
	// SetString keeps the field's own type, which may be a named one.
	fresh.SetString(text)
	return fresh, nil
}

func (r replacer) pointer(v reflect.Value, marked bool, path string, depth int) (reflect.Value, error) {
	if v.IsNil() {
		return v, nil
	}
	element, err := r.value(v.Elem(), marked, path, depth+1)
	if err != nil {
		return v, err
	}
	fresh := reflect.New(v.Type().Elem())
	fresh.Elem().Set(element)
	return fresh, nil
}

// list copies a slice or an array. A nil slice stays nil, which encoders distinguish
// from an empty one.
func (r replacer) list(v reflect.Value, marked bool, path string, depth int) (reflect.Value, error) {
	if v.Kind() == reflect.Slice && v.IsNil() {
		return v, nil
	}
	fresh := reflect.New(v.Type()).Elem()
	if v.Kind() == reflect.Slice {
		fresh = reflect.MakeSlice(v.Type(), v.Len(), v.Len())
	}
	for i := range v.Len() {
		// An element's number is not part of its path: a reader may see another order.
		element, err := r.value(v.Index(i), marked, path+"[]", depth+1)
		if err != nil {
			return v, err
		}
		fresh.Index(i).Set(element)
	}
	return fresh, nil
}

func (r replacer) mapping(v reflect.Value, marked bool, path string, depth int) (reflect.Value, error) {
	if v.IsNil() {
		return v, nil
	}
	// Keys stay as they are: only values are personal.
	fresh := reflect.MakeMapWithSize(v.Type(), v.Len())
	for entries := v.MapRange(); entries.Next(); {
		element, err := r.value(entries.Value(), marked, path+"{}", depth+1)
		if err != nil {
			return v, err
		}
		fresh.SetMapIndex(entries.Key(), element)
	}
	return fresh, nil
}

func (r replacer) structure(v reflect.Value, path string, depth int) (reflect.Value, error) {
	fresh := reflect.New(v.Type()).Elem()
	fresh.Set(v)
	return fresh, r.fields(fresh, path, depth)
}

// fields replaces the fields of a struct in place.
func (r replacer) fields(v reflect.Value, path string, depth int) error {
	for i := range v.NumField() {
		field, of := v.Field(i), v.Type().Field(i)
		name := path + "." + of.Name
		if of.Anonymous && !of.IsExported() && of.Type.Kind() == reflect.Struct {
			// It can't be set as a whole; its exported fields can.
			if err := r.fields(field, name, depth+1); err != nil {
				return err
			}
			continue
		}
		// No encoder sees an unexported field; inspect refuses the exception.
		if !field.CanSet() {
			continue
		}
		element, err := r.value(field, of.Tag.Get(tag) == personal, name, depth+1)
		if err != nil {
			return err
		}
		field.Set(element)
	}
	return nil
}

// errNoPointer is the error for a value that is not a non-nil pointer. A bus passes
// none.
var errNoPointer = errors.New("the value is not a pointer")
