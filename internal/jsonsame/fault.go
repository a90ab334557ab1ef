package jsonsame

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/eventbus-go/eventbus/internal/errtree"
	"github.com/eventbus-go/eventbus/internal/keypath"
)

// EncodeFault returns an error that says why v can't be encoded, and the path of
// the field at fault if that is found: encoding/json names only its type. The text
// shows no part of v, which a method of v's types may have put into err. err stays
// available to errors.As.
func EncodeFault(v any, err error) error {
	text := "a value has no form in JSON"
	if own, ok := errors.AsType[*json.MarshalerError](err); ok {
		text = fmt.Sprintf("the method of %s that encodes it failed (%T)", own.Type, own.Err)
	} else if kind, ok := errors.AsType[*json.UnsupportedTypeError](err); ok {
		text = kind.Error()
	} else if value, ok := errors.AsType[*json.UnsupportedValueError](err); ok {
		text = value.Error() // NaN, an infinity, or a cycle and its type
	}
	// encoding/json names no path, so the value is searched for one.
	s := faultSearch{left: mostVisited, open: make(map[place]bool)}
	if path, found := s.find(reflect.ValueOf(v), "", 0); found && path != "" {
		text = "field " + strings.TrimPrefix(path, ".") + ": " + text
	}
	return errtree.Worded(text, err)
}

// Bounds of the search for the field at fault. A value may contain itself, through
// pointers, maps and slices, or contain one part many times.
const (
	mostVisited = 10_000
	mostDepth   = 100
)

// faultSearch searches a value for something that JSON can't express. It serves one
// search.
type faultSearch struct {
	// left is how many values may still be visited.
	left int
	// open has the places that the walk is in.
	open map[place]bool
}

// place identifies a pointer, a map or a slice. The length tells a slice from a
// part of it that begins at the same element.
type place struct {
	t      reflect.Type
	at     uintptr
	length int
}

// find returns the path of the first value that can't be encoded, and whether
// there is one. It runs only after encoding has failed, so it may be slow. A value
// that is too deep or too large for it is passed over, and the error has no path.
// open ends cycles, and the bounds end long lists, which have none.
func (s *faultSearch) find(v reflect.Value, path string, depth int) (string, bool) {
	s.left--
	if !v.IsValid() || s.left < 0 || depth > mostDepth {
		return "", false
	}
	// A value that marshals itself is asked, as it may refuse for reasons of its
	// own.
	if v.Kind() != reflect.Pointer && v.Kind() != reflect.Interface && v.CanInterface() &&
		(v.Type().Implements(jsonMarshaler) || v.Type().Implements(keypath.TextMarshaler) || v.Type() == jsonNumber) {
		_, err := json.Marshal(v.Interface())
		return path, err != nil
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice:
		here := place{v.Type(), v.Pointer(), 0}
		if v.Kind() == reflect.Slice {
			here.length = v.Len()
		}
		if !v.IsNil() && s.open[here] {
			// It contains itself.
			return path, true
		}
		s.open[here] = true
		defer delete(s.open, here)
	}
	switch v.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return path, true
	case reflect.Float32, reflect.Float64:
		return path, math.IsNaN(v.Float()) || math.IsInf(v.Float(), 0)
	case reflect.Pointer, reflect.Interface:
		// The element of a nil one is not valid, which ends the search.
		return s.find(v.Elem(), path, depth+1)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if p, found := s.find(v.Index(i), fmt.Sprintf("%s[%d]", path, i), depth+1); found {
				return p, true
			}
			if s.left < 0 {
				break
			}
		}
	case reflect.Map:
		return s.findInMap(v, path, depth)
	case reflect.Struct:
		return s.findField(v, path, depth)
	}
	return "", false
}

// findInMap is find for a map's keys and values. Keys are data, which errors do
// not show.
func (s *faultSearch) findInMap(v reflect.Value, path string, depth int) (string, bool) {
	// An empty map fails only for the type of its keys.
	_, err := json.Marshal(reflect.MakeMap(v.Type()).Interface())
	if err != nil {
		return path, true // no key of this type is possible
	}
	for it := v.MapRange(); it.Next() && s.left >= 0; {
		if it.Key().Type().Implements(keypath.TextMarshaler) {
			if p, found := s.find(it.Key(), path, depth+1); found {
				return p, true
			}
		}
		if p, found := s.find(it.Value(), path+"[…]", depth+1); found {
			return p, true
		}
	}
	return "", false
}

// findField is find for a struct's fields, except those that encoding/json
// skips.
func (s *faultSearch) findField(v reflect.Value, path string, depth int) (string, bool) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		tag := f.Tag.Get("json")
		if tag == "-" || !f.IsExported() && !f.Anonymous {
			continue
		}
		if strings.Contains(tag, ",omitzero") && v.Field(i).IsZero() {
			continue
		}
		if p, found := s.find(v.Field(i), path+"."+f.Name, depth+1); found {
			return p, true
		}
	}
	return "", false
}
