package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/internal/foreign"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/mask"
	safe "github.com/eventbus-go/eventbus/internal/visible"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/schema/untyped"
	"github.com/eventbus-go/eventbus/transport"
)

// seen is a record that was read: its event, or why it has none. In both cases event has
// the record's topic, partition, offset, key and headers.
type seen struct {
	event   wire.Event
	problem error
	// data is the event's data as a schema registry decoded it; nil without a registry, or
	// if the event names no schema. unread says why it could not be decoded.
	data   *untyped.Data
	unread error
	// hidden is why the data is not shown, if a catalogue decides what may be.
	hidden string
}

// catalogued names a catalogue that decides which data is shown. The zero value names
// none, and shows everything.
type catalogued struct{ source string }

// flag adds --catalog, which names the types of plain records and masks personal fields.
func (c *catalogued) flag(to *cobra.Command) {
	to.Flags().StringVar(&c.source, "catalog", "", "`FILE|URL` of a catalogue: records that name no type have the one type of their plain topic; personal fields, and what neither it nor a registry describes, are masked")
}

// document returns the catalogue, or nil without one.
func (c *catalogued) document(ctx context.Context, a *app) (*catalog.Document, error) {
	if c.source == "" {
		return nil, nil //nolint:nilnil // a nil document masks nothing
	}
	return a.readCatalog(ctx, c.source)
}

// mask removes from the data what the catalogue marks as personal or does not describe,
// and from data that a registry's schema decoded, what that marks too. In doubt it shows
// nothing: data that can't be parsed is left out, and so are the values of headers, which
// nothing describes. A nil catalogue masks nothing.
func (s *seen) mask(d *catalog.Document) {
	if d == nil {
		return
	}
	e := &s.event
	first := letter.FirstRead(e)
	e.Headers = slices.Clone(e.Headers) // the slice is the record's
	for i := range e.Headers {
		// Headers that describe the failure are not part of the event.
		if h := &e.Headers[i]; !strings.HasPrefix(h.Key, letter.Prefix) {
			h.Value = []byte(mask.Hidden)
		}
	}
	if e.Tombstone {
		return
	}
	data, read, size := e.Data, s.data, counted(len(e.Data), "byte")
	e.Data, s.data = nil, nil
	// The error may quote the data, unless the reader had no schema to read it by.
	if s.unread != nil && read != nil && read.Schema != nil {
		s.unread = fmt.Errorf("the data can't be read by its schema, id %s", read.ID)
	}
	documents := []*catalog.Document{d}
	if read != nil && read.JSON != nil {
		if text, ok := mask.JSON(read.JSON, mask.Read(documents, first, e.Type, read.Fields())...); ok {
			shown := *read
			shown.JSON = text
			s.data = &shown
			return
		}
	}
	if s.problem != nil {
		s.hidden = "it is not an event: " + size + " are not shown"
		return
	}
	schema := mask.Schema(documents, first, e.Type)
	if schema == nil {
		s.hidden = "the catalogue has no JSON Schema of the type: " + size + " are not shown"
		return
	}
	text, ok := mask.JSON(data, schema)
	if !ok {
		s.hidden = "the data is not JSON: " + size + " are not shown"
		return
	}
	e.Data, e.DataContentType = text, "application/json"
}

// read decodes the data by the schema that the event names. A failure is shown with the
// record, and does not end the command.
func (s *seen) read(ctx context.Context, reader *untyped.Reader) {
	// A tombstone has no data.
	if reader != nil && !s.event.Tombstone {
		s.data, s.unread = reader.Read(ctx, (*eventbus.Envelope)(&s.event))
	}
}

// schema describes the schema that the event names: its id, type and record.
func (s *seen) schema() string {
	// s.data is not nil: schema is called only for data that was read.
	text := s.data.ID.String()
	if s.data.Schema != nil {
		text += " " + string(s.data.Schema.Type)
	}
	return strings.TrimSpace(text + " " + s.data.Record)
}

// look decodes a record. A catalogue, which may be nil, names the type of records without
// any attributes. The result refers to the record's memory.
func look(r *transport.Record, d *catalog.Document) *seen {
	// Decode fills in key, headers and value even if it fails.
	s := new(seen)
	s.problem = foreign.Decode(r, &s.event)
	if s.problem != nil && d != nil && foreign.DecodePlain(mask.PlainType([]*catalog.Document{d}, letter.FirstRead(&s.event)), r, &s.event) {
		s.problem = nil
	}
	if r.Excess != nil {
		// A lost part may change what the event means, so the record is shown with the problem
		// rather than as if it were whole.
		s.problem = r.Excess
	}
	return s
}

// place names the record as TOPIC/PARTITION@OFFSET, which other commands accept as an
// argument. A record that is not published yet has only its topic.
func (s *seen) place() string {
	if s.event.Partition < 0 {
		return s.event.Topic
	}
	return fmt.Sprintf("%s/%d@%d", s.event.Topic, s.event.Partition, s.event.Offset)
}

// line is a record as one line of JSON. Scripts read its fields, so they must stay
// compatible.
type line struct {
	// Topic, Partition and Offset are the record's place in the log.
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	// Timestamp is left out if the record has none.
	Timestamp instant `json:"timestamp,omitzero"`
	// Key is null for a record without a key, and "" for an empty one. A key that is
	// not UTF-8 is in KeyBytes as well, in Base64.
	Key      *string `json:"key"`
	KeyBytes []byte  `json:"keyBytes,omitempty"`
	// Headers are names and values in the record's order; names may repeat.
	Headers [][2]string `json:"headers,omitempty"`
	// Tombstone is set for a record without a value, which deletes its key.
	Tombstone bool `json:"tombstone,omitempty"`
	// Event is the CloudEvent in its JSON format. A record that is not an event instead has
	// Problem, which says why, and its bytes as Value, in Base64.
	Event   json.RawMessage `json:"event,omitempty"`
	Problem string          `json:"problem,omitempty"`
	Value   []byte          `json:"value,omitempty"`
	// Hidden says why the data is left out, if a catalogue decides what may be shown.
	Hidden string `json:"hidden,omitempty"`
	// Schema is the id, type and record of the registry's schema that the event names. Data
	// is the data decoded by it; SchemaProblem says why that failed.
	Schema        string          `json:"schema,omitempty"`
	Data          json.RawMessage `json:"data,omitempty"`
	SchemaProblem string          `json:"schemaProblem,omitempty"`
}

// line returns the record for programs. If the JSON format of CloudEvents can't express
// the event, such as an attribute that is not UTF-8, the line has a problem, and the next
// records are still shown.
func (s *seen) line() *line {
	e := &s.event
	// The line refers to the record's memory, so it must be printed before the caller returns.
	l := &line{Topic: e.Topic, Partition: e.Partition, Offset: e.Offset, Timestamp: instant{e.Timestamp}, Tombstone: e.Tombstone}
	if e.Key != nil {
		key := string(e.Key)
		l.Key = &key
		// JSON can't hold other bytes: as text they would come out changed.
		if !utf8.Valid(e.Key) {
			l.KeyBytes = e.Key
		}
	}
	if s.data != nil {
		l.Schema, l.Data = s.schema(), s.data.JSON
	}
	if s.unread != nil {
		l.SchemaProblem = s.unread.Error()
	}
	for _, h := range e.Headers {
		l.Headers = append(l.Headers, [2]string{h.Key, string(h.Value)})
	}
	l.Hidden = s.hidden
	switch {
	case s.problem != nil:
		l.Problem, l.Value = s.problem.Error(), e.Data
	case !e.Tombstone:
		// One form for both content modes: an event in binary mode is shown in the equivalent
		// structured form.
		var encoder wire.Encoder
		var r transport.Record
		if err := encoder.Structured(e, &r); err != nil {
			l.Problem, l.Value = err.Error(), e.Data
			break
		}
		// The value is the encoder's memory, which its next use overwrites.
		l.Event = bytes.Clone(r.Value)
		// Data of a JSON media type is copied unchecked, and may not be JSON.
		if !json.Valid(l.Event) {
			l.Event, l.Problem, l.Value = nil, "the event has no form in JSON", e.Data
		}
	}
	return l
}

// printLine prints the record without indentation, so that each record is one line for jq
// and similar tools.
func (a *app) printLine(s *seen) error { return a.encodeJSON(s.line(), "") }

// printEvent prints the record for people: a heading of time, place, type and key, then
// the data. With whole it adds all attributes and headers.
func (a *app) printEvent(s *seen, whole bool) error {
	e := &s.event
	// Records of the first message format have no timestamp, and a zero time would look like
	// the year 1.
	at := "no timestamp"
	if !e.Timestamp.IsZero() {
		at = e.Timestamp.Local().Format("2006-01-02 15:04:05.000")
	}
	// dlq show and skip accept the place in this form, so it can be copied.
	head := a.paint(at, text.Faint) + "  " + a.paint(s.place(), text.FgCyan)
	switch {
	// The problem replaces the type, which such a record may lack.
	case s.problem != nil:
		head += "  " + a.paint(s.problem.Error(), text.FgRed)
	case e.Tombstone:
		head += "  " + a.paint("deleted", text.FgYellow)
	default:
		head += "  " + a.paint(e.Type, text.Bold, text.FgGreen)
	}
	// An empty key is shown as "": it is a key, and orders events like any other.
	if e.Key != nil {
		head += "  key=" + visible(quoted(e.Key))
	}
	if err := a.say("%s", head); err != nil {
		return err
	}
	if whole {
		for _, row := range s.attributes() {
			if err := a.say("  %s: %s", a.paint(row[0], text.Faint), row[1]); err != nil {
				return err
			}
		}
	}
	if s.data != nil && whole {
		if err := a.say("  %s: %s", a.paint("schema", text.Faint), s.schema()); err != nil {
			return err
		}
	}
	// Shown without --whole too, because the data below is then the raw bytes.
	if s.unread != nil {
		if err := a.say("  %s", a.paint(s.unread.Error(), text.FgRed)); err != nil {
			return err
		}
	}
	if e.Tombstone {
		return nil
	}
	if s.hidden != "" {
		return a.say("  %s", a.paint("("+s.hidden+")", text.Faint))
	}
	return a.say("  %s", s.payload(whole))
}

// attributes returns the names and values of the event's CloudEvents attributes, then of
// the headers that are not part of it. The order is fixed, with extensions by name, so that
// two events can be compared by eye.
func (s *seen) attributes() (rows [][2]string) {
	e := &s.event
	// Absent optional attributes are empty here.
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, [2]string{name, value})
		}
	}
	add("id", e.ID)
	add("source", e.Source)
	add("subject", e.Subject)
	if !e.Time.IsZero() {
		add("time", e.Time.Format(time.RFC3339Nano))
	}
	add("datacontenttype", e.DataContentType)
	add("dataschema", e.DataSchema)
	add("correlationid", e.CorrelationID)
	add("causationid", e.CausationID)
	add("traceparent", e.TraceParent)
	// Sorted, since maps have no order.
	for _, name := range slices.Sorted(maps.Keys(e.Extensions)) {
		add(name, e.Extensions[name])
	}
	for _, h := range e.Headers {
		add("header "+h.Key, quoted(h.Value))
	}
	return rows
}

// payload returns the data: JSON compact, or indented if whole; other text quoted; and for
// binary data its size. Data decoded by its schema is JSON.
func (s *seen) payload(whole bool) shown {
	data := s.event.Data
	if s.data != nil && s.data.JSON != nil {
		data = s.data.JSON
	}
	// The data itself decides, not its media type: text that claims to be JSON may not be.
	var b bytes.Buffer
	switch {
	case whole && json.Indent(&b, data, "  ", "  ") == nil:
		return shown(safe.JSON(b.Bytes()))
	case !whole && json.Compact(&b, data) == nil:
		return shown(safe.JSON(b.Bytes()))
	}
	return visible(quoted(data))
}

// quoted returns bytes in a form that is safe on a terminal. Text with control characters
// or spaces is quoted as a Go string, since a payload may contain escape sequences. For
// bytes that are not text it returns their number.
func quoted(b []byte) string {
	switch {
	case !utf8.Valid(b):
		return "(" + counted(len(b), "byte") + ")"
	case bytes.ContainsFunc(b, func(r rune) bool { return r == ' ' || !strconv.IsPrint(r) }), len(b) == 0:
		return strconv.Quote(string(b))
	}
	return string(b)
}
