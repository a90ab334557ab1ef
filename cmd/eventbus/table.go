package main

import (
	"encoding/json"
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// printTable writes rows under a header, in columns. Text is coloured only
// where the stream is a terminal, so that the output can be piped.
func (a *app) printTable(header table.Row, rows []table.Row) error {
	t := table.NewWriter()
	style := table.StyleLight
	style.Format.Header = text.FormatDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	t.SetStyle(style)
	for i, name := range header {
		header[i] = a.paint(fmt.Sprint(name), text.Bold)
	}
	t.AppendHeader(header)
	t.AppendRows(rows)
	t.SuppressTrailingSpaces()
	_, err := fmt.Fprintln(a.stdout, t.Render())
	return err
}

// printJSON writes a value as indented JSON.
func (a *app) printJSON(value any) error {
	encoder := json.NewEncoder(a.stdout)
	// Escapes for HTML would make <, > and & in events unreadable.
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// show writes value as JSON if the output is for programs, and else the rows
// under the header.
func (a *app) show(value any, header table.Row, rows []table.Row) error {
	if a.json() {
		return a.printJSON(value)
	}
	return a.printTable(header, rows)
}

// paint returns the text in a colour, unless colours are off. An empty text
// stays empty, so that a column without values stays narrow.
func (a *app) paint(s string, colors ...text.Color) string {
	if !a.colour || s == "" {
		return s
	}
	return text.Colors(colors).EscapeSeq() + s + text.Reset.EscapeSeq()
}

// say writes a line of output for people.
func (a *app) say(format string, args ...any) error {
	_, err := fmt.Fprintf(a.stdout, format+"\n", args...)
	return err
}

// counted returns a number with its noun, such as "1 letter" and "2 letters".
func counted[N int | int32 | int64](n N, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
