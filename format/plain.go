package format

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// PlainConfig says where the attributes of events are in the records of a topic. The
// zero value is for records of one type, with only a key and a value.
type PlainConfig struct {
	// TypeHeader is the header with the type; a record without it does not fit. TypeOf finds
	// the type in another way; its error means that the record does not fit. Set at most one of
	// them. Without either, the topic has one type, that of its declaration.
	TypeHeader string
	TypeOf     func(r *transport.Record) (string, error)
	// IDHeader is the header with the id. A record without it gets its id from its position.
	IDHeader string
	// Source is the CloudEvents source of all records: a URI-reference. Default
	// "urn:kafka:{topic}".
	Source string
	// CorrelationHeader, SubjectHeader and ContentTypeHeader are the headers with the attributes
	// correlationid, subject and datacontenttype. A record may lack them.
	CorrelationHeader string
	SubjectHeader     string
	ContentTypeHeader string
	// TimeHeader is the header with the event's time, in RFC 3339. If it is missing or not a
	// time, the record's timestamp counts.
	TimeHeader string
}

// Plain returns the format of records that are only data: the value is the data, and the key is
// the key. Publishing writes value and key, the headers named in the configuration, and those
// of WithHeader and of the trace.
//
// It panics if the configuration is invalid: formats belong to declarations.
func Plain(c PlainConfig) eventbus.Format {
	p := &plain{
		name: "plain", source: c.Source, typeOf: c.TypeOf,
		id: c.IDHeader, typ: c.TypeHeader, typed: c.TypeHeader != "",
		correlation: c.CorrelationHeader, subject: c.SubjectHeader, contentType: c.ContentTypeHeader,
		time: c.TimeHeader, writeTime: func(t time.Time) string { return t.Format(time.RFC3339Nano) }, readTime: rfc3339,
	}
	p.mustWork()
	return p
}

// plain reads and writes records with attributes in headers. An empty name means that records
// lack the attribute.
type plain struct {
	name   string
	source string
	typeOf func(*transport.Record) (string, error)

	id, typ, sourceHeader, correlation, causation, subject, contentType, time string

	typed      bool // a record without a type does not fit
	identified bool // nor one without an id
	uuid       bool // ids are UUIDs, and are refused if they are not
	firstType  bool // several types, divided by ';': the first counts
	readTime   func(string) time.Time
	writeTime  func(time.Time) string
}

// mustWork panics if the format is invalid, with everything that is wrong.
func (p *plain) mustWork() {
	var wrong []error
	if p.typ != "" && p.typeOf != nil {
		wrong = append(wrong, errors.New("TypeHeader and TypeOf are both set: keep one"))
	}
	if err := wire.CheckReference(p.source); err != nil {
		wrong = append(wrong, fmt.Errorf(`the Source %q %w: write a URI such as "urn:orders"`, p.source, err))
	}
	var names []string
	for _, name := range []string{p.id, p.typ, p.correlation, p.subject, p.contentType, p.time} {
		if name == "" {
			continue
		}
		if slices.Contains(names, name) {
			wrong = append(wrong, fmt.Errorf("header %q has two meanings: name another", name))
		}
		names = append(names, name)
	}
	if err := errors.Join(wrong...); err != nil {
		panic("format: " + err.Error())
	}
}

// Name implements eventbus.Format.
func (p *plain) Name() string { return p.name }

// Type implements eventbus.Format.
func (p *plain) Type(r *transport.Record) (string, error) {
	if p.typeOf != nil {
		return p.typeOf(r)
	}
	if p.typ == "" {
		return "", nil
	}
	value, ok := r.Header(p.typ)
	// An empty type would belong to no declaration.
	if !ok || len(value) == 0 {
		if p.typed {
			return "", fmt.Errorf("the header %q, which has the type, is missing", p.typ)
		}
		return "", nil
	}
	if p.firstType {
		for i, c := range value {
			if c == ';' {
				value = value[:i]
				break
			}
		}
	}
	return wire.Intern(value), nil // types repeat
}

// Decode implements eventbus.Format.
func (p *plain) Decode(r *transport.Record, e *eventbus.Envelope) error {
	e.Source = p.source
	for i := range r.Headers {
		h := &r.Headers[i]
		switch h.Key {
		case "":
		case p.id:
			e.ID = string(h.Value)
		case p.sourceHeader:
			e.Source = wire.Intern(h.Value)
		case p.correlation:
			e.CorrelationID = string(h.Value)
		case p.causation:
			e.CausationID = string(h.Value)
		case p.subject:
			e.Subject = string(h.Value)
		case p.contentType:
			e.DataContentType = wire.Intern(h.Value)
		case p.time:
			e.Time = p.readTime(string(h.Value))
		}
	}
	if p.identified && e.ID == "" {
		return fmt.Errorf("the header %q, which has the id, is missing", p.id)
	}
	return nil
}

// Encode implements eventbus.Format. The format's own headers replace others of the same names.
func (p *plain) Encode(e *eventbus.Envelope, r *transport.Record) error {
	if err := p.fits(e); err != nil {
		return err
	}
	// A new slice: e.Headers is the caller's.
	headers := make([]transport.Header, 0, len(e.Headers)+6)
	for _, h := range e.Headers {
		if !p.owns(h.Key) {
			headers = append(headers, h)
		}
	}
	// An attribute that the format or the event lacks gets no header.
	add := func(key, value string) {
		if key != "" && value != "" {
			headers = append(headers, transport.Header{Key: key, Value: []byte(value)})
		}
	}
	add(p.id, e.ID)
	add(p.typ, e.Type)
	add(p.sourceHeader, e.Source)
	add(p.correlation, e.CorrelationID)
	add(p.causation, e.CausationID)
	add(p.subject, e.Subject)
	add(p.contentType, e.DataContentType)
	if p.time != "" && !e.Time.IsZero() {
		add(p.time, p.writeTime(e.Time))
	}
	r.Value, r.Headers = e.Data, headers
	if p.typeOf != nil {
		// A type that TypeOf can't find again would be lost to every reader.
		typ, err := p.typeOf(r)
		if err != nil {
			return fmt.Errorf("the record of an event of type %s could not be read again: its data has to say the type: %w", e.Type, err)
		}
		if typ != e.Type {
			return fmt.Errorf("the record of an event of type %s would be read as one of type %q: its data has to say the type", e.Type, typ)
		}
	}
	return nil
}

// fits returns an error for an event that the format can't express.
func (p *plain) fits(e *eventbus.Envelope) error {
	switch {
	case e.Subject != "" && p.subject == "":
		return fmt.Errorf("the event has a subject, and the format %s no place for it", p.name)
	case len(e.Extensions) > 0:
		return fmt.Errorf("the event has extensions, and the format %s no place for them: use WithHeader", p.name)
	case p.uuid && !isUUID(e.ID):
		return fmt.Errorf("the event's id is not a UUID, as the format %s has them", p.name)
	}
	return nil
}

// owns reports whether Encode writes a header of that name itself. The empty name, which stands
// for missing attributes, is never owned.
func (p *plain) owns(key string) bool {
	switch key {
	case "":
		return false
	case p.id, p.typ, p.sourceHeader, p.correlation, p.causation, p.subject, p.contentType, p.time:
		return true
	}
	return false
}

// rfc3339 parses a time. It returns the zero time if s is not one.
func rfc3339(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

// isUUID reports whether s is a UUID in its usual form of 36 characters.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return true
}
