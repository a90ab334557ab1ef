package wire

import (
	"encoding/base64"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-json/jsontext"

	"github.com/eventbus-go/eventbus/transport"
)

// structuredType is shared by all records.
var structuredType = []byte(cloudEventsJSON + "; charset=UTF-8")

// Structured fills rec with ev in structured mode, as JSON (binding 3.3). Data
// that is JSON by its type and its content is embedded unchanged, text as a
// string, and everything else in Base64 (JSON format 3.1.1). A tombstone has no
// value to hold attributes, so it is written in binary mode. Otherwise it works
// as Binary does. An error, which Check would have found, is a *MalformedError.
func (e *Encoder) Structured(ev *Event, rec *transport.Record) error {
	if ev.Tombstone {
		e.Binary(ev, rec)
		return nil
	}
	e.reset()
	// The content type tells readers the mode.
	e.headers = append(e.headers, transport.Header{Key: contentType, Value: structuredType})
	// The members are written in a fixed order, so that equal events make equal
	// records.
	e.buf = append(e.buf, `{"specversion":"1.0"`...)
	for _, name := range [...]string{typ, source, id} {
		if err := e.member(name, *field(ev, name)); err != nil {
			return err
		}
	}
	if !ev.Time.IsZero() {
		e.buf = append(e.buf, `,"time":"`...)
		e.buf = Writable(ev.Time).AppendFormat(e.buf, time.RFC3339Nano)
		e.buf = append(e.buf, '"')
	}
	for _, name := range [...]string{subject, dataContentType, dataSchema, correlationID, causationID, traceParent, traceState} {
		if value := *field(ev, name); value != "" {
			if err := e.member(name, value); err != nil {
				return err
			}
		}
	}
	for _, name := range e.sortedNames(ev) {
		if err := e.member(name, ev.Extensions[name]); err != nil {
			return err
		}
	}
	if err := e.data(ev); err != nil {
		return err
	}
	e.buf = append(e.buf, '}')
	e.fill(ev, rec)
	// The value is valid until the next event is encoded.
	rec.Value = e.buf
	return nil
}

// member appends a member with a string value.
func (e *Encoder) member(name, value string) (err error) {
	e.buf = append(e.buf, ',')
	if e.buf, err = jsontext.AppendQuote(e.buf, name); err == nil {
		e.buf = append(e.buf, ':')
		e.buf, err = jsontext.AppendQuote(e.buf, value)
	}
	if err != nil {
		return &MalformedError{Attribute: name, Reason: "is not UTF-8"}
	}
	return nil
}

// data appends the data. Whether JSON is valid is checked, because invalid JSON
// would make the whole value unreadable and not only the data.
func (e *Encoder) data(ev *Event) (err error) {
	switch {
	// No data, no member.
	case ev.Data == nil:
	case declaresJSON(ev.DataContentType) && jsontext.Value(ev.Data).IsValid(jsontext.AllowDuplicateNames(true)):
		e.buf = append(e.buf, `,"data":`...)
		e.buf = append(e.buf, ev.Data...)
	// As text and not in Base64, so that people and tools can read it in the topic.
	case declaresText(ev.DataContentType) && utf8.Valid(ev.Data):
		e.buf = append(e.buf, `,"data":`...)
		e.buf, err = jsontext.AppendQuote(e.buf, ev.Data)
	default:
		e.buf = append(e.buf, `,"data_base64":"`...)
		e.buf = base64.StdEncoding.AppendEncode(e.buf, ev.Data)
		e.buf = append(e.buf, '"')
	}
	return err
}
