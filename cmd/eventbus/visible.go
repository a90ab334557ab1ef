package main

import (
	"bytes"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Everyone who may write to a topic, or who answers in the place of a service,
// chooses text that this program prints. A terminal obeys some of it: escape
// sequences, the C1 controls, line breaks that forge a line of output, marks that
// reverse the direction of text. So the functions that print (table.go) show each
// value by visible, and only they write to the app's streams.

// shown is text that may be printed as it is: it was made visible already, or is
// the program's own.
type shown string

// visible returns text with everything that is no graphic character written as an
// escape of Go: \x1b, \n, \u202e. Bytes that are not UTF-8 are \x9b and so on.
func visible(s string) shown {
	if !strings.ContainsFunc(s, unsafe) && utf8.ValidString(s) {
		return shown(s)
	}
	var b strings.Builder
	for rest := s; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, rest[0])
		case unsafe(r):
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		default:
			b.WriteRune(r)
		}
		rest = rest[size:]
	}
	return shown(b.String())
}

// unsafe reports whether a terminal may do something else with r than draw it.
// Graphic are letters, marks, numbers, punctuation, symbols and spaces: not the
// controls, and not the invisible characters that format text.
func unsafe(r rune) bool { return !strconv.IsGraphic(r) }

// visibleLines makes each line of a text visible, and begins all but the first with
// an indent, so that no line can pass for one of the program's own.
func visibleLines(s, indent string) shown {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i, l := range lines {
		lines[i] = string(visible(strings.ReplaceAll(l, "\t", "    ")))
	}
	return shown(strings.Join(lines, "\n"+indent))
}

// visibleJSON replaces in a JSON text what a terminal obeys by JSON's own escapes:
// programs read the same text. Line breaks and tabs are between its values alone.
func visibleJSON(text []byte) []byte {
	if !bytes.ContainsFunc(text, obeyed) && utf8.Valid(text) {
		return text
	}
	b := make([]byte, 0, len(text)+16)
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(b, `\ufffd`...) // as readers of JSON take such a byte
		case obeyed(r) && r > 0xffff:
			r -= 0x10000
			b = fmt.Appendf(b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		case obeyed(r):
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = append(b, text[:size]...)
		}
		text = text[size:]
	}
	return b
}

// obeyed is unsafe for JSON, whose line breaks and tabs are its form.
func obeyed(r rune) bool { return r != '\n' && r != '\t' && unsafe(r) }

// visibleValues makes values visible that are to be printed. Numbers stay what
// they are, so that formats apply to them.
func visibleValues(values []any) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = visibleValue(v)
	}
	return out
}

func visibleValue(value any) any {
	switch v := value.(type) {
	case nil:
		return ""
	case shown:
		return string(v)
	case []byte:
		return string(visible(string(v)))
	case error, fmt.Stringer:
		return string(visible(fmt.Sprint(v)))
	}
	switch kind := reflect.TypeOf(value).Kind(); {
	case kind >= reflect.Bool && kind <= reflect.Complex128:
		return value
	}
	return string(visible(fmt.Sprint(value)))
}

// instant is a time as JSON that can always be written: encoding/json refuses years
// that RFC 3339 has no place for, and record times may have any.
type instant struct{ time.Time }

// MarshalText implements encoding.TextMarshaler.
func (t instant) MarshalText() ([]byte, error) {
	return []byte(t.UTC().Format(time.RFC3339Nano)), nil
}

// MarshalJSON implements json.Marshaler, in the place of the embedded time's.
func (t instant) MarshalJSON() ([]byte, error) {
	return []byte(strconv.Quote(t.UTC().Format(time.RFC3339Nano))), nil
}
