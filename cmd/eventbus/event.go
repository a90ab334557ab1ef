package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// seen is a record as people and programs see it: an event, or what kept it from
// being one.
type seen struct {
	event   wire.Event
	problem error
}

func look(r *transport.Record) *seen {
	s := new(seen)
	s.problem = wire.Decode(r, &s.event)
	return s
}

// place names the record.
func (s *seen) place() string {
	if s.event.Partition < 0 {
		return s.event.Topic // it is nowhere yet
	}
	return fmt.Sprintf("%s/%d@%d", s.event.Topic, s.event.Partition, s.event.Offset)
}

// line is a record as one line of JSON. Event is the CloudEvent in its JSON
// format; where the record is none, Problem says why, and Value has its bytes.
type line struct {
	Topic     string          `json:"topic"`
	Partition int32           `json:"partition"`
	Offset    int64           `json:"offset"`
	Timestamp time.Time       `json:"timestamp"`
	Key       *string         `json:"key"` // null without one
	Headers   [][2]string     `json:"headers,omitempty"`
	Tombstone bool            `json:"tombstone,omitempty"`
	Event     json.RawMessage `json:"event,omitempty"`
	Problem   string          `json:"problem,omitempty"`
	Value     []byte          `json:"value,omitempty"` // Base64
}

func (s *seen) line() (*line, error) {
	e := &s.event
	l := &line{Topic: e.Topic, Partition: e.Partition, Offset: e.Offset, Timestamp: e.Timestamp.UTC(), Tombstone: e.Tombstone}
	if e.Key != nil {
		key := string(e.Key)
		l.Key = &key
	}
	for _, h := range e.Headers {
		l.Headers = append(l.Headers, [2]string{h.Key, string(h.Value)})
	}
	switch {
	case s.problem != nil:
		l.Problem, l.Value = s.problem.Error(), e.Data
	case !e.Tombstone:
		var encoder wire.Encoder
		var r transport.Record
		if err := encoder.Structured(e, &r); err != nil {
			return nil, err
		}
		l.Event = bytes.Clone(r.Value)
	}
	return l, nil
}

// printLine writes the record as one line of JSON.
func (a *app) printLine(s *seen) error {
	l, err := s.line()
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(a.stdout)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(l)
}

// printEvent shows the record to people; whole, with everything that it came
// with.
func (a *app) printEvent(s *seen, whole bool) error {
	e := &s.event
	head := a.paint(e.Timestamp.Local().Format("2006-01-02 15:04:05.000"), text.Faint) + "  " + a.paint(s.place(), text.FgCyan)
	switch {
	case s.problem != nil:
		head += "  " + a.paint("no CloudEvent: "+s.problem.Error(), text.FgRed)
	case e.Tombstone:
		head += "  " + a.paint("deleted", text.FgYellow)
	default:
		head += "  " + a.paint(e.Type, text.Bold, text.FgGreen)
	}
	if e.Key != nil {
		head += "  key=" + quoted(e.Key)
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
	if e.Tombstone {
		return nil
	}
	return a.say("  %s", s.payload(whole))
}

// attributes lists what an event says of itself, and the headers beside it.
func (s *seen) attributes() (rows [][2]string) {
	e := &s.event
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
	for _, name := range slices.Sorted(maps.Keys(e.Extensions)) {
		add(name, e.Extensions[name])
	}
	for _, h := range e.Headers {
		add("header "+h.Key, quoted(h.Value))
	}
	return rows
}

// payload is the event's data: JSON as it is, or indented if whole, text quoted,
// and of anything else the size.
func (s *seen) payload(whole bool) string {
	data := s.event.Data
	var b bytes.Buffer
	switch {
	case whole && json.Indent(&b, data, "  ", "  ") == nil:
		return b.String()
	case !whole && json.Compact(&b, data) == nil:
		return b.String()
	}
	return quoted(data)
}

// quoted shows bytes safely on a terminal: text as a Go string where it has to be
// quoted, anything else by its size.
func quoted(b []byte) string {
	switch {
	case !utf8.Valid(b):
		return "(" + counted(len(b), "byte") + ")"
	case bytes.ContainsFunc(b, func(r rune) bool { return r == ' ' || !strconv.IsPrint(r) }), len(b) == 0:
		return strconv.Quote(string(b))
	}
	return string(b)
}
