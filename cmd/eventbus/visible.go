package main

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	safe "github.com/eventbus-go/eventbus/internal/visible"
)

// This program prints text chosen by anyone who can write to a topic or answer in place of
// a service. Some of it controls a terminal: escape sequences, the C1 controls, line breaks
// that forge a line of output, marks that reverse the direction of text. So the functions
// that print (table.go) pass every value through visible, and only they write to the app's
// streams.

// shown is text that may be printed unchanged: it has been made visible, or is the
// program's own.
type shown string

// visible returns text in which everything but graphic characters is a Go escape, as package
// visible does.
func visible(s string) shown { return shown(safe.Text(s)) }

// visibleLines makes each line of a text visible, and indents all but the first, so that no
// line can pass for one of the program's own.
func visibleLines(s, indent string) shown {
	// A trailing line break would leave a last line of only the indent. Split first, since
	// making text visible turns line breaks into \n.
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i, l := range lines {
		lines[i] = string(visible(strings.ReplaceAll(l, "\t", "    ")))
	}
	return shown(strings.Join(lines, "\n"+indent))
}

// visibleValues makes values visible that are to be printed. Numbers stay numbers, so that
// formats apply to them.
func visibleValues(values []any) []any {
	// A copy, since the caller may also print the values as JSON.
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = visibleValue(v)
	}
	return out
}

// visibleValue returns a value's text, made visible, or the value itself if it is a number
// or a bool. It does not escape values of type shown again.
func visibleValue(value any) any {
	switch v := value.(type) {
	// A nil cell is empty rather than <nil>.
	case nil:
		return ""
	case shown:
		return string(v)
	case []byte:
		return string(visible(string(v)))
	// Errors and Stringers come before the kind: a named number may have a String
	// method whose text comes from outside.
	case error, fmt.Stringer:
		return string(visible(fmt.Sprint(v)))
	}
	// By kind rather than by type, so that named numbers stay numbers too.
	switch kind := reflect.TypeOf(value).Kind(); {
	// reflect declares the kinds of bools and numbers in this order, without others between
	// them.
	case kind >= reflect.Bool && kind <= reflect.Complex128:
		return value
	}
	return string(visible(fmt.Sprint(value)))
}

// instant is a time that can always be written as JSON: encoding/json refuses years that
// RFC 3339 can't express, and record times may have any.
type instant struct{ time.Time }

// MarshalText implements encoding.TextMarshaler. It never fails, whatever the year. Times are
// in UTC, so that the lines of two machines can be compared as text.
func (t instant) MarshalText() ([]byte, error) {
	return []byte(t.UTC().Format(time.RFC3339Nano)), nil
}

// MarshalJSON implements json.Marshaler, in place of the embedded time's.
func (t instant) MarshalJSON() ([]byte, error) {
	return []byte(strconv.Quote(t.UTC().Format(time.RFC3339Nano))), nil
}
