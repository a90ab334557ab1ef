package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	safe "github.com/eventbus-go/eventbus/internal/visible"
)

// printTable prints rows under a header, in columns. It uses colours only on a terminal,
// so that the output can be piped.
func (a *app) printTable(header table.Row, rows []table.Row) error {
	t := table.NewWriter()
	// The style is a copy, so the library's own stays unchanged.
	style := table.StyleLight
	style.Format.Header = text.FormatDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	t.SetStyle(style)
	// Headers are constants of this program, but paint makes them visible anyway.
	bold := make(table.Row, len(header))
	for i, name := range header {
		bold[i] = string(a.paint(fmt.Sprint(name), text.Bold))
	}
	t.AppendHeader(bold)
	for _, row := range rows {
		// Cells made by paint are of type shown, and keep their colours.
		t.AppendRow(visibleValues(row))
	}
	// Trailing spaces would make outputs differ that look the same.
	t.SuppressTrailingSpaces()
	_, err := fmt.Fprintln(a.stdout, t.Render())
	return err
}

// printJSON writes a value as indented JSON.
func (a *app) printJSON(value any) error { return a.encodeJSON(value, "  ") }

// encodeJSON writes a value as JSON, on one line if indent is empty.
func (a *app) encodeJSON(value any, indent string) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	// HTML escapes would make <, > and & in events unreadable.
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	// The whole value is encoded before any of it is written. Encode adds the final newline.
	if err := encoder.Encode(value); err != nil {
		return err
	}
	_, err := a.stdout.Write(safe.JSON(b.Bytes()))
	return err
}

// printDocument prints a document made from a catalogue. It keeps the line breaks, and
// makes everything else visible that controls a terminal.
func (a *app) printDocument(document []byte) error {
	// A JSON document stays valid, since JSON has escapes. YAML and Markdown are made visible
	// line by line.
	if json.Valid(document) {
		_, err := a.stdout.Write(safe.JSON(document))
		return err
	}
	_, err := fmt.Fprintln(a.stdout, string(visibleLines(string(document), "")))
	return err
}

// show writes value as JSON if the output is for programs, and otherwise the rows under
// the header.
func (a *app) show(value any, header table.Row, rows []table.Row) error {
	if a.json() {
		return a.printJSON(value)
	}
	return a.printTable(header, rows)
}

// paint returns text in a colour, made visible. It adds no colour if colours are off or
// the text is empty.
func (a *app) paint(s string, colors ...text.Color) shown {
	v := visible(s)
	// Only the text is made visible: the escape sequences around it are the program's own.
	if !a.colour || s == "" {
		return v
	}
	return shown(text.Colors(colors).EscapeSeq()) + v + shown(text.Reset.EscapeSeq())
}

// say prints a line for people. The format is the program's own; the values are made
// visible.
func (a *app) say(format string, args ...any) error {
	_, err := fmt.Fprintf(a.stdout, format+"\n", visibleValues(args)...)
	return err
}

// note prints a remark to stderr, so that stdout stays parseable.
func (a *app) note(format string, args ...any) {
	_, _ = fmt.Fprintf(a.stderr, format+"\n", visibleValues(args)...)
}

// printError prints an error to stderr, under the program's name, with which errors of
// package eventbus already begin. All lines but the first are indented, since an error may
// quote text that is not to be trusted.
func (a *app) printError(text string) {
	a.note("eventbus: %s", visibleLines(strings.TrimPrefix(text, "eventbus: "), "    "))
}

// counted returns a number with its noun, whose plural must end in s, such as "1 letter"
// and "2 letters".
func counted[N int | int32 | int64](n N, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
