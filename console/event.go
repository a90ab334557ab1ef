package console

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/foreign"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/mask"
	"github.com/eventbus-go/eventbus/internal/visible"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// eventView is an event as a page shows it. It holds only what may be shown: anything
// hidden is left out here rather than by a template, where a careless change could reveal
// it. Bytes is the size of the record's value.
type eventView struct {
	Rows    [][2]string // its attributes and headers
	Problem string      // why the record is not a valid event
	Bytes   int
	// Data is what may be shown of the event's data, and Hidden is why it is not shown.
	Data, Hidden string
	ID           string
	Correlation  string
}

// Story returns the address of the search for the rest of the event's flow.
func (e *eventView) Story() string {
	// A flow shows more than one event does, so it is preferred if the event names its flow.
	if e.Correlation != "" {
		return "story?" + url.Values{"by": {"correlation"}, "what": {e.Correlation}}.Encode()
	}
	return "story?" + url.Values{"by": {"id"}, "what": {e.ID}}.Encode()
}

// newEventView copies what may be shown of a record. The headers of a dead letter are left
// out: they describe the failure, and the page shows them as such.
func (d *desk) newEventView(ctx context.Context, r *transport.Record) eventView {
	var e wire.Event
	v := eventView{Bytes: len(r.Value)}
	// Attributes that could be decoded are shown despite an error: they are what is needed to
	// see which event is malformed.
	if err := readRecord(r, &e); err != nil && !foreign.DecodePlain(mask.PlainType(d.catalogs(), letter.FirstRead(&e)), r, &e) {
		v.Problem = err.Error()
	}
	// A record over the limits was cut, which explains any error above.
	if r.Excess != nil {
		v.Problem = r.Excess.Error()
	}
	add := func(name, value string) {
		// CloudEvents forbids empty attributes, so an empty one is absent.
		if value != "" {
			v.Rows = append(v.Rows, [2]string{clip(maxShown, name), clip(4*maxShown, value)})
		}
	}
	v.ID, v.Correlation = strings.Clone(e.ID), strings.Clone(e.CorrelationID)
	add("id", e.ID)
	add("type", e.Type)
	add("source", e.Source)
	add("subject", e.Subject)
	if !e.Time.IsZero() {
		add("time", e.Time.In(d.config.Location).Format("2006-01-02 15:04:05.000 MST"))
	}
	add("content type", e.DataContentType)
	add("schema", e.DataSchema)
	add("correlation", e.CorrelationID)
	add("causation", e.CausationID)
	add("traceparent", e.TraceParent)
	// Sorted, so that two events can be compared by eye.
	for _, name := range slices.Sorted(maps.Keys(e.Extensions)) {
		add(name, e.Extensions[name])
	}
	for _, h := range r.Headers {
		// Headers that encode attributes are shown above, under the names of the attributes.
		if !strings.HasPrefix(h.Key, letter.Prefix) && !wire.Owned(h.Key) {
			add("header "+h.Key, d.headerText(h.Value))
		}
	}
	var called string
	v.Data, v.Hidden, called = d.data(ctx, &e)
	add("read by schema", called)
	return v
}

// headerText returns a header's value as it may be shown: it is data of the event too.
func (d *desk) headerText(value []byte) string {
	if !d.config.ShowData {
		// No schema describes headers, so nothing says which of them is personal.
		return plural(len(value), "byte")
	}
	return visible.Bytes(value)
}

// maxData bounds the data that a page shows, in bytes.
const maxData = 256 << 10

// data returns what may be shown of an event's data, or why it is hidden, and the name of
// the schema that decoded it. In doubt it shows nothing: without a schema, and in data that
// can't be parsed, personal fields can't be told from others.
func (d *desk) data(ctx context.Context, e *wire.Event) (shown, hidden, called string) {
	switch {
	case e.Tombstone:
		return "", "The record has no value: its key is deleted.", ""
	// Checked before anything that looks into the data.
	case !d.config.ShowData:
		return "", "The console was started without showing data.", ""
	case len(e.Data) > maxData:
		return "", "The data is too large for a page.", ""
	}
	text, known := e.Data, d.catalogs()
	var schemas []any
	first := letter.FirstRead(e)
	if schema := mask.Schema(known, first, e.Type); schema != nil {
		schemas = []any{schema}
	}
	// Data that the catalogue describes needs no registry, which might be down.
	if d.config.Schemas != nil && (schemas == nil || !json.Valid(text)) {
		read, err := d.config.Schemas(ctx, (*eventbus.Envelope)(e))
		switch {
		case err != nil && (read == nil || read.Schema == ""):
			return "", "The data's schema can't be fetched: " + clip(maxShown, err.Error()), ""
		// The error may quote the data, in which personal fields can't be recognized here.
		case err != nil || read != nil && len(read.JSON) > maxData:
			return "", "The data can't be read by its schema, or is too large for a page.", read.Schema
		case read != nil:
			text, called, schemas = read.JSON, read.Schema, mask.Read(known, first, e.Type, read.Fields)
		}
	}
	if schemas == nil {
		return "", "No catalogue here has this type, so personal fields can't be told from others: name a catalogue, or the members that have one.", called
	}
	shown, hidden = maskData(text, schemas)
	return shown, hidden, called
}

// maskData returns JSON as it may be shown, or why it is hidden.
func maskData(text []byte, schemas []any) (shown, hidden string) {
	masked, ok := mask.JSON(text, schemas...)
	var b bytes.Buffer
	if !ok || json.Indent(&b, masked, "", "  ") != nil {
		return "", "The data is not JSON."
	}
	// JSON may hold characters that control a terminal or a page. They become JSON escapes,
	// so that the text can still be copied as JSON.
	return string(visible.JSON(b.Bytes())), ""
}
