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

// printTable writes rows under a header, in columns. Text is coloured only
// where the stream is a terminal, so that the output can be piped.
func (a *app) printTable(header table.Row, rows []table.Row) error {
	t := table.NewWriter()
	// The style is a copy, so changing it leaves the library's own as it is.
	style := table.StyleLight
	style.Format.Header = text.FormatDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	t.SetStyle(style)
	// Headers are constants of this program; paint still makes them visible.
	bold := make(table.Row, len(header))
	for i, name := range header {
		bold[i] = string(a.paint(fmt.Sprint(name), text.Bold))
	}
	t.AppendHeader(bold)
	for _, row := range rows {
		// Cells that paint made are of type shown and keep their colours.
		t.AppendRow(visibleValues(row))
	}
	// Spaces at line ends would make two outputs differ that look the same.
	t.SuppressTrailingSpaces()
	_, err := fmt.Fprintln(a.stdout, t.Render())
	return err
}

// printJSON writes a value as indented JSON.
func (a *app) printJSON(value any) error { return a.encodeJSON(value, "  ") }

// encodeJSON writes a value as JSON, on one line without an indent.
func (a *app) encodeJSON(value any, indent string) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	// Escapes for HTML would make <, > and & in events unreadable.
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	// A value is encoded whole before any of it is written.
	// Encode adds the newline that ends a line of JSON.
	if err := encoder.Encode(value); err != nil {
		return err
	}
	_, err := a.stdout.Write(safe.JSON(b.Bytes()))
	return err
}

// printDocument writes a document that was made out of a catalogue: its lines are
// its own, whatever else a terminal would obey is made visible.
func (a *app) printDocument(document []byte) error {
	// JSON has escapes for what a terminal obeys, so a JSON document stays one;
	// YAML and Markdown are made visible line by line.
	if json.Valid(document) {
		_, err := a.stdout.Write(safe.JSON(document))
		return err
	}
	_, err := fmt.Fprintln(a.stdout, string(visibleLines(string(document), "")))
	return err
}

// show writes value as JSON if the output is for programs, otherwise the rows
// under the header.
func (a *app) show(value any, header table.Row, rows []table.Row) error {
	// Both forms are made by the caller, which keeps the two in step: a column that is added
	// is a field that is added.
	if a.json() {
		return a.printJSON(value)
	}
	return a.printTable(header, rows)
}

// paint returns the text, made visible, in a colour, unless colours are off. An
// empty text stays empty, so that a column without values stays narrow.
func (a *app) paint(s string, colors ...text.Color) shown {
	v := visible(s)
	// Only the text is made visible: the escape sequences around it are ours.
	if !a.colour || s == "" {
		return v
	}
	return shown(text.Colors(colors).EscapeSeq()) + v + shown(text.Reset.EscapeSeq())
}

// say writes a line of output for people. The format is the program's own; the
// values are made visible.
func (a *app) say(format string, args ...any) error {
	_, err := fmt.Fprintf(a.stdout, format+"\n", visibleValues(args)...)
	return err
}

// note writes a remark to stderr, so that the output on stdout stays whole for
// programs.
func (a *app) note(format string, args ...any) {
	_, _ = fmt.Fprintf(a.stderr, format+"\n", visibleValues(args)...)
}

// printError writes an error to stderr, under the program's name. Errors of
// package eventbus begin with that name already. An error of several lines has all
// but the first indented: each of them may quote what is not to be trusted.
func (a *app) printError(text string) {
	a.note("eventbus: %s", visibleLines(strings.TrimPrefix(text, "eventbus: "), "    "))
}

// counted returns a number with its noun, such as "1 letter" and "2 letters". The
// plural is made by an s.
func counted[N int | int32 | int64](n N, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
