package avro

import (
	"errors"
	"reflect"
	"strings"

	"github.com/twmb/avro"
)

// structural reports whether an error of encoding an empty value is one of every
// value: a field that the Go type lacks or has with another type. An empty value
// may be refused for its own sake, as "" where an enum is expected.
func structural(err error) bool {
	var fault *avro.SemanticError
	return errors.As(err, &fault) && (fault.Err == nil || strings.HasPrefix(fault.Err.Error(), "missing field"))
}

// deepestFill bounds how far fill goes: types may hold themselves.
const deepestFill = 6

// fill lets no pointer of an empty value be nil, so that what they point to is
// tried too.
func fill(v reflect.Value, depth int) {
	switch {
	case depth > deepestFill:
	case v.Kind() == reflect.Pointer && v.CanSet():
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), depth+1)
		}
	}
}
