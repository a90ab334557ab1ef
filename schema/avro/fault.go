package avro

import (
	"errors"
	"reflect"
	"strings"

	"github.com/twmb/avro"
)

// structural reports whether an error of encoding an empty value would occur for every
// value: the Go type lacks a field, or has it with another type. Other errors may
// concern only the empty value, such as "" for an enum.
func structural(err error) bool {
	var fault *avro.SemanticError
	return errors.As(err, &fault) && (fault.Err == nil || strings.HasPrefix(fault.Err.Error(), "missing field"))
}

// deepestFill bounds the depth of fill, since types may contain themselves.
const deepestFill = 6

// fill sets the nil pointers in an empty value, so that what they point to is encoded
// too.
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
