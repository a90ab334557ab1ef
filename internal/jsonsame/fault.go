package jsonsame

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/keypath"
)

// EncodeFault returns err with the path of the field that can't be encoded, if
// it is found. encoding/json names only the type or the value.
func EncodeFault(v any, err error) error {
	s := faultSearch{open: make(map[uintptr]bool)}
	if path, found := s.find(reflect.ValueOf(v), ""); found && path != "" {
		return fmt.Errorf("field %s: %w", strings.TrimPrefix(path, "."), err)
	}
	return err
}

// faultSearch searches a value for something that JSON can't express.
type faultSearch struct {
	open map[uintptr]bool // pointers that the walk is in
}

// find returns the path of the first value that can't be encoded, and whether
// there is one. It runs only after encoding has failed, so it may be slow.
func (s *faultSearch) find(v reflect.Value, path string) (string, bool) {
	if !v.IsValid() {
		return "", false
	}
	if v.Kind() != reflect.Pointer && v.Kind() != reflect.Interface && v.CanInterface() &&
		(v.Type().Implements(jsonMarshaler) || v.Type().Implements(keypath.TextMarshaler)) {
		_, err := json.Marshal(v.Interface())
		return path, err != nil
	}
	switch v.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return path, true
	case reflect.Float32, reflect.Float64:
		return path, math.IsNaN(v.Float()) || math.IsInf(v.Float(), 0)
	case reflect.Pointer:
		if v.IsNil() {
			return "", false
		}
		if s.open[v.Pointer()] {
			return path, true
		}
		s.open[v.Pointer()] = true
		defer delete(s.open, v.Pointer())
		return s.find(v.Elem(), path)
	case reflect.Interface:
		return s.find(v.Elem(), path)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if p, found := s.find(v.Index(i), fmt.Sprintf("%s[%d]", path, i)); found {
				return p, true
			}
		}
	case reflect.Map:
		// A map's keys are data, which errors do not show.
		for it := v.MapRange(); it.Next(); {
			if p, found := s.find(it.Value(), path+"[…]"); found {
				return p, true
			}
		}
		_, err := json.Marshal(v.Interface())
		return path, err != nil
	case reflect.Struct:
		return s.findField(v, path)
	}
	return "", false
}

// findField is find for a struct's fields, except those that encoding/json
// skips.
func (s *faultSearch) findField(v reflect.Value, path string) (string, bool) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		tag := f.Tag.Get("json")
		if tag == "-" || !f.IsExported() && !f.Anonymous {
			continue
		}
		if strings.Contains(tag, ",omitzero") && v.Field(i).IsZero() {
			continue
		}
		if p, found := s.find(v.Field(i), path+"."+f.Name); found {
			return p, true
		}
	}
	return "", false
}

// DecodeFault rewords errors that would show a part of the data, which must not
// reach logs. The cause stays available to errors.As.
func DecodeFault(err error) error {
	if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		value, _, _ := strings.Cut(kind.Value, " ") // "number 12.50" without its digits
		return &wordedError{fmt.Sprintf("field %q: a JSON %s is no %s", kind.Field, value, kind.Type), err}
	}
	if _, ok := errors.AsType[*time.ParseError](err); ok {
		return &wordedError{"a time is not in RFC 3339", err}
	}
	return err
}

// wordedError is an error with another text than its cause.
type wordedError struct {
	text string
	err  error
}

func (e *wordedError) Error() string { return e.text }

func (e *wordedError) Unwrap() error { return e.err }
