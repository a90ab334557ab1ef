package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// File is one document of a set.
type File struct {
	// Name is a relative path with slashes, without "..".
	Name string
	// Content is the file's content. The caller owns it.
	Content []byte
}

// Markdown returns the catalogue as pages for people: an index, and a page for each
// topic. Texts of declarations are escaped and never become markup.
func (d *Document) Markdown() []File {
	var index bytes.Buffer
	title := "Events"
	if d.Service != "" {
		title = "Events of " + plain(d.Service)
	}
	fmt.Fprintf(&index, "# %s\n\n", title)
	if len(d.Topics) == 0 {
		index.WriteString("There are no topics.\n")
	}
	domain := ""
	var pages []File
	for i := range d.Topics {
		t := &d.Topics[i]
		if t.Domain != domain {
			domain = t.Domain
			fmt.Fprintf(&index, "\n## %s\n\n| Event | What it is | Topic | Owner | Handled by |\n|---|---|---|---|---|\n", plain(domain))
		}
		page := key(t.Name) + ".md"
		for j := range t.Events {
			e := &t.Events[j]
			fmt.Fprintf(&index, "| %s | %s | [%s](%s) | %s | %s |\n", plain(e.Type), plain(firstSentence(e.Description)), plain(t.Name), page, plain(t.Owner), plain(strings.Join(t.Groups, ", ")))
		}
		// Pages are in the order of topics, after the index.
		pages = append(pages, File{page, t.markdown(d.Service)})
	}
	// The first heading of a domain follows an extra empty line.
	return append([]File{{"index.md", bytes.Replace(index.Bytes(), []byte("\n\n\n"), []byte("\n\n"), 1)}}, pages...)
}

// plain escapes everything that is markup in Markdown, in HTML or in a table cell.
// Line breaks become spaces.
func plain(s string) string {
	// A line break would end a table row, and what follows could look like the page's
	// own text.
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x2028 || r == 0x2029 }), " ")
	var b strings.Builder
	for _, r := range s {
		switch r {
		case '<':
			b.WriteString("&lt;")
		case '>':
			b.WriteString("&gt;")
		case '&':
			b.WriteString("&amp;")
		case '|', '*', '_', '`', '[', ']', '(', ')', '\\', '!', '#':
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// markdown returns the page of a topic. service is named as the publisher; it is empty
// for a document of declarations.
func (t *Topic) markdown(service string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\n[All topics](index.md)\n\n", plain(t.Name))
	// row omits rows without a value.
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "| %s | %s |\n", name, value)
		}
	}
	b.WriteString("| | |\n|---|---|\n")
	row("Owner", plain(t.Owner))
	row("Scope", plain(t.Scope))
	for _, env := range slices.Sorted(maps.Keys(t.Names)) {
		row("In "+plain(env), plain(t.Names[env]))
	}
	row("Partitions", number(t.Partitions))
	row("Kept for", t.kept())
	row("Handled by", plain(strings.Join(t.Groups, ", ")))
	for i := range t.Events {
		t.Events[i].markdown(&b, service)
	}
	return b.Bytes()
}

// kept returns how long events are kept, in words.
func (t *Topic) kept() string {
	if t.RetentionMs == 0 && t.Compacted {
		return "as long as it is the last event of its key"
	}
	s := period(t.RetentionMs)
	if t.RetentionMs < 0 {
		s = "ever"
	}
	if t.RetentionMs != 0 && t.Compacted {
		s += "; the last event of each key only"
	}
	return s
}

// markdown appends the section of a type. The order comes first, since readers rely on
// it and can't see it in an example.
func (e *Event) markdown(b *bytes.Buffer, service string) {
	fmt.Fprintf(b, "\n## %s\n\n", plain(e.Type))
	if e.Description != "" {
		fmt.Fprintf(b, "%s\n\n", plain(e.Description))
	}
	if e.Published && service != "" {
		fmt.Fprintf(b, "Published by %s. ", plain(service))
	}
	switch e.Key.Source {
	case NoKey:
		b.WriteString("Events have no key and no order.\n")
	case KeyFromFields:
		fmt.Fprintf(b, "Events are in order by %s", plain(strings.Join(e.Key.Fields, " and ")))
		e.keyExample(b)
	default:
		b.WriteString("Events with the same key are in order")
		e.keyExample(b)
	}
	fmt.Fprintf(b, "Data: %s", plain(e.ContentType))
	if n := len(e.Example); n > 0 {
		fmt.Fprintf(b, ", about %d bytes", n)
	}
	b.WriteString(".\n")
	e.fields(b)
	if len(e.Example) > 0 {
		var text bytes.Buffer
		// Four spaces make it a code block, in which nothing is markup.
		if json.Indent(&text, e.Example, "    ", "  ") == nil {
			fmt.Fprintf(b, "\nExample:\n\n    %s\n", &text)
		}
	}
}

// keyExample ends a sentence about the key, with an example if there is one.
func (e *Event) keyExample(b *bytes.Buffer) {
	if len(e.Key.Examples) > 0 {
		fmt.Fprintf(b, "; a key looks like %s", plain(e.Key.Examples[0]))
	}
	b.WriteString(".\n")
}

// fields lists the fields of the data.
func (e *Event) fields(b *bytes.Buffer) {
	header := "\n| Field | Type | Always there | What it is |\n|---|---|---|---|\n"
	for f := range e.Fields() {
		doc := f.Doc
		// This comes first, since the description may be long.
		if f.Personal {
			doc = strings.TrimSpace("Personal data. " + doc)
		}
		fmt.Fprintf(b, "%s| %s | %s | %s | %s |\n", header, plain(f.Path), plain(f.Type), f.Presence, plain(doc))
		header = ""
	}
}
