package console

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/visible"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// eventView is an event as a page shows it.
type eventView struct {
	Rows    [][2]string // its attributes and headers
	Problem string      // why the record is no event
	Bytes   int
	// Data is what may be shown of it, Hidden why it is not.
	Data, Hidden string
	ID           string
	Correlation  string
}

// Story leads to what else happened in the event's flow.
func (e *eventView) Story() string {
	if e.Correlation != "" {
		return "story?" + url.Values{"by": {"correlation"}, "what": {e.Correlation}}.Encode()
	}
	return "story?" + url.Values{"by": {"id"}, "what": {e.ID}}.Encode()
}

// newEventView copies what is shown of a record, without the headers of a dead letter.
func (d *desk) newEventView(r *transport.Record) eventView {
	var e wire.Event
	v := eventView{Bytes: len(r.Value)}
	if err := wire.Decode(r, &e); err != nil {
		v.Problem = err.Error()
	}
	if r.Excess != nil {
		v.Problem = r.Excess.Error()
	}
	add := func(name, value string) {
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
	for _, name := range slices.Sorted(maps.Keys(e.Extensions)) {
		add(name, e.Extensions[name])
	}
	for _, h := range r.Headers {
		if !strings.HasPrefix(h.Key, letter.Prefix) && !wire.Owned(h.Key) {
			add("header "+h.Key, d.headerText(h.Value))
		}
	}
	v.Data, v.Hidden = d.data(&e)
	return v
}

// headerText returns a header's value, which is data of the event as well.
func (d *desk) headerText(value []byte) string {
	if !d.config.ShowData {
		return plural(len(value), "byte")
	}
	return visible.Bytes(value)
}

// maxData bounds the data that a page shows, in bytes.
const maxData = 256 << 10

// data returns what may be shown of an event's data, or why it is not.
func (d *desk) data(e *wire.Event) (shown, hidden string) {
	switch {
	case e.Tombstone:
		return "", "The record has no value: its key is deleted."
	case !d.config.ShowData:
		return "", "The console was started without showing data."
	case len(e.Data) > maxData:
		return "", "The data is too large for a page."
	}
	schema := d.schema(e.Topic, e.Type)
	if schema == nil {
		return "", "No catalogue here has the type, so that personal fields can't be told from others: name one, or the members whose it is."
	}
	var value any
	decoder := json.NewDecoder(bytes.NewReader(e.Data))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return "", "The data is no JSON."
	}
	text, err := json.MarshalIndent(masked(value, schema, schema, 0), "", "  ")
	if err != nil {
		return "", "The data can't be shown."
	}
	return string(visible.JSON(text)), ""
}
