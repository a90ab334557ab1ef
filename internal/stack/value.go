package stack

import (
	"fmt"
	"reflect"
)

// Value returns the text of what panic was called with, as Go prints it when a program
// ends so: an error's or a Stringer's text, a number, a string, and of all else the type
// alone. That may be the data of an event, or a map that contains itself, which would
// never be printed to its end.
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
