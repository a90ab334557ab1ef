package main

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	safe "github.com/eventbus-go/eventbus/internal/visible"
)

// Everyone who may write to a topic, or who answers in the place of a service,
// chooses text that this program prints. A terminal obeys some of it: escape
// sequences, the C1 controls, line breaks that forge a line of output, marks that
// reverse the direction of text. So the functions that print (table.go) show each
// value by visible, and only they write to the app's streams.

// shown is text that may be printed as it is: it was made visible already, or is
// the program's own.
type shown string

// visible returns text with everything that is not a graphic character written as an
// escape of Go, as package visible does.
func visible(s string) shown { return shown(safe.Text(s)) }

// visibleLines makes each line of a text visible, and begins all but the first with
// an indent, so that no line can pass for one of the program's own.
func visibleLines(s, indent string) shown {
	// A trailing line break would leave an indent alone on the last line.
	// Split before the text is made visible, which would turn the breaks into \n.
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i, l := range lines {
		lines[i] = string(visible(strings.ReplaceAll(l, "\t", "    ")))
	}
	return shown(strings.Join(lines, "\n"+indent))
}

// visibleValues makes values visible that are to be printed. Numbers stay what
// they are, so that formats apply to them.
func visibleValues(values []any) []any {
	// A copy: the caller may still print its values as JSON.
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = visibleValue(v)
	}
	return out
}

// visibleValue returns the text of a value, made visible, or the value itself if it
// is a number or a bool. What was made visible by its type is not escaped twice.
func visibleValue(value any) any {
	switch v := value.(type) {
	// A nil in a cell is an empty one, and not <nil>.
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
	// By kind and not by type, so that named numbers are numbers too.
	switch kind := reflect.TypeOf(value).Kind(); {
	// reflect declares the kinds of bools and numbers in this order, with nothing
	// else among them.
	case kind >= reflect.Bool && kind <= reflect.Complex128:
		return value
	}
	return string(visible(fmt.Sprint(value)))
}

// instant is a time as JSON that can always be written: encoding/json refuses years
// that RFC 3339 has no place for, and record times may have any.
type instant struct{ time.Time }

// MarshalText implements encoding.TextMarshaler.
// It never fails, whatever the year. Times are in UTC, so that lines of two machines
// can be compared as texts.
func (t instant) MarshalText() ([]byte, error) {
	return []byte(t.UTC().Format(time.RFC3339Nano)), nil
}

// MarshalJSON implements json.Marshaler, in the place of the embedded time's.
func (t instant) MarshalJSON() ([]byte, error) {
	return []byte(strconv.Quote(t.UTC().Format(time.RFC3339Nano))), nil
}
