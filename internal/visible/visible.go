// Package visible makes text from outside safe to show. Anyone who may write to a
// topic, or who answers in place of a service, can choose text that a terminal obeys or
// a page hides. The package writes escape sequences, C1 controls, line breaks that
// forge a line of output, and marks that reverse the direction of text as escapes.
package visible

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Text returns text with everything that is not a graphic character written as an
// escape of Go: \x1b, \n, \u202e. Bytes that are not UTF-8 are written as \x9b and so
// on.
func Text(s string) string {
	if !strings.ContainsFunc(s, Hidden) && utf8.ValidString(s) {
		return s
	}
	return string(appendText(nil, s, Hidden))
}

// Markup returns a document with its characters written as by Text, except for line
// breaks and tabs, which are its layout.
func Markup(b []byte) []byte {
	if !bytes.ContainsFunc(b, Obeyed) && utf8.Valid(b) {
		return b
	}
	return appendText(make([]byte, 0, len(b)+64), string(b), Obeyed)
}

func appendText(b []byte, s string, hidden func(rune) bool) []byte {
	for rest := s; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			b = fmt.Appendf(b, `\x%02x`, rest[0])
		case hidden(r):
			b = append(b, strings.Trim(strconv.QuoteRuneToASCII(r), "'")...)
		default:
			b = append(b, rest[:size]...)
		}
		rest = rest[size:]
	}
	return b
}

// Hidden reports whether a terminal or a page may do something with r other than draw
// it: whether r is a control, or one of the invisible characters that format text.
// Letters, marks, numbers, punctuation, symbols and spaces are drawn.
func Hidden(r rune) bool { return !strconv.IsGraphic(r) }

// JSON replaces characters in a JSON text that a terminal obeys by JSON's own escapes,
// so programs still read the same text. It leaves line breaks and tabs, which in JSON
// are only between values.
func JSON(text []byte) []byte {
	if !bytes.ContainsFunc(text, Obeyed) && utf8.Valid(text) {
		return text
	}
	b := make([]byte, 0, len(text)+16)
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(b, `\ufffd`...) // as readers of JSON take such a byte
		case Obeyed(r) && r > 0xffff:
			r -= 0x10000
			b = fmt.Appendf(b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		case Obeyed(r):
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = append(b, text[:size]...)
		}
		text = text[size:]
	}
	return b
}

// Obeyed is Hidden for text that is laid out with line breaks and tabs.
func Obeyed(r rune) bool { return r != '\n' && r != '\t' && Hidden(r) }

// Bytes returns bytes in a form that is safe to show: text as it is, or quoted as a Go
// string if it has spaces or hidden characters, and the number of bytes for anything
// else.
func Bytes(b []byte) string {
	switch {
	case !utf8.Valid(b):
		return fmt.Sprintf("(%d bytes)", len(b))
	case bytes.ContainsFunc(b, func(r rune) bool { return r == ' ' || !strconv.IsPrint(r) }), len(b) == 0:
		return strconv.Quote(string(b))
	}
	return string(b)
}
