package stack

import (
	"fmt"
	"reflect"
)

// Value returns the text of a panic's value as the runtime prints it: the text of an
// error or a Stringer, a number or a string, and for anything else only the type. Such a
// value may be the data of an event, or a map that contains itself, which could never be
// printed.
func Value(v any) string {
	switch v.(type) {
	case error, fmt.Stringer:
		return fmt.Sprint(v) // which catches the panics of their methods
	}
	switch kind := reflect.ValueOf(v).Kind(); {
	case kind == reflect.String || kind >= reflect.Bool && kind <= reflect.Complex128:
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("a value of type %T", v)
}
