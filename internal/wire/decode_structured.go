package wire

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strconv"

	"github.com/goccy/go-json/jsontext"
)

// decodeStructured decodes a value in the JSON event format. Data shares the memory of
// value if it is JSON. As in binary mode a member may not occur twice, and the data is
// left to its codec: half a surrogate pair in it is not an error here, nor in
// encoding/json. Attributes are checked. The decoder reads token by token, and not into
// a map: data must keep its bytes, which the codec of the event reads as they were
// written.
func decodeStructured(value []byte, ev *Event) error {
	// Duplicates are found below, by names in lower case. Bad UTF-8 is left to the
	// codec in data, and to AppendUnquote in attributes.
	d := jsontext.NewDecoder(bytes.NewBuffer(value), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if d.PeekKind() != '{' {
		return &MalformedError{Reason: "the value is not a JSON object"}
	}
	s := structured{ev: ev, scratch: make([]byte, 0, 256), seen: make(map[string]bool, 8)}
	if _, err := d.ReadToken(); err != nil {
		return notJSON(err)
	}
	// Stop at the first error: no member after a syntax error can be trusted.
	for d.PeekKind() != '}' {
		quoted, err := d.ReadValue()
		if err != nil {
			return notJSON(err)
		}
		if s.scratch, err = jsontext.AppendUnquote(s.scratch[:0], quoted); err != nil {
			return notJSON(err)
		}
		// Names are few and repeat; the interned one also outlives scratch.
		member, _ := interned.get(lowered(s.scratch))
		raw, err := d.ReadValue()
		if err != nil {
			return notJSON(err)
		}
		if s.seen[member] {
			return twice(member)
		}
		s.seen[member] = true
		// raw is in the decoder's buffer; the same bytes of value live as long as
		// the record.
		end := d.InputOffset()
		if err := s.take(member, value[end-int64(len(raw)):end]); err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return notJSON(err)
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return &MalformedError{Reason: "the value goes on after the JSON object"}
	}
	if err := required(s.spec, ev); err != nil {
		return err
	}
	payload, err := s.payload()
	if err == nil {
		ev.Data = payload
	}
	return err
}

// structured is an event while it is decoded. The meaning of data depends on
// datacontenttype, which may come after it.
// It lives for one call of decodeStructured.
type structured struct {
	ev *Event
	// spec is the specversion; base64 and data are the raw members, nil if absent.
	spec   string
	data   jsontext.Value
	base64 jsontext.Value
	// seen has the names of the members so far.
	seen map[string]bool
	// scratch is reused for each unquoted text.
	scratch []byte
}

// take stores one member of the object.
func (s *structured) take(name string, raw jsontext.Value) error {
	switch name {
	// A null is data here, if the type is JSON: null is a JSON value.
	case data:
		s.data = raw
		return nil
	case dataBase64:
		if raw.Kind() != 'n' {
			s.base64 = raw
		}
		return nil
	}
	// A null attribute is an unset one (JSON format 2.2).
	if raw.Kind() == 'n' {
		return nil
	}
	text, err := s.attributeText(name, raw)
	if err != nil {
		return err
	}
	to := field(s.ev, name)
	switch {
	case name == specVersion:
		s.spec = text
	case name == timestamp:
		if text != "" {
			s.ev.Time, err = parseTime([]byte(text))
		}
	case to != nil:
		*to = text
	default:
		if s.ev.Extensions == nil {
			s.ev.Extensions = make(map[string]string, 4)
		}
		s.ev.Extensions[name] = text
	}
	return err
}

// attributeText returns the canonical string form of an attribute (JSON format
// 2.2): the text of a string, the literal of a boolean or number, which only
// extensions may have.
func (s *structured) attributeText(name string, raw jsontext.Value) (text string, err error) {
	switch kind := raw.Kind(); {
	case kind == '"':
		if s.scratch, err = jsontext.AppendUnquote(s.scratch[:0], raw); err != nil {
			return "", notJSON(err)
		}
		// Values that repeat from event to event are interned.
		switch name {
		case specVersion, source, typ, dataContentType, dataSchema:
			value, _ := interned.get(s.scratch)
			return value, nil
		}
		return string(s.scratch), nil
	case Reserved(name):
		return "", &MalformedError{Attribute: name, Reason: "is not a JSON string"}
	// As it was written: 1.0 stays 1.0.
	case kind == 't' || kind == 'f' || kind == '0':
		return string(raw), nil
	}
	return "", &MalformedError{Attribute: name, Reason: "is a JSON object or array, which no attribute can be"}
}

// payload returns the event's data, empty if it has none (JSON format 3.1.2).
func (s *structured) payload() ([]byte, error) {
	switch {
	case s.data != nil && s.base64 != nil:
		return nil, &MalformedError{Reason: "it has data and data_base64, of which one is allowed (JSON format 3.1.1)"}
	case s.base64 != nil:
		text, err := jsontext.AppendUnquote(nil, s.base64)
		if err != nil {
			return nil, &MalformedError{Reason: "data_base64 is not a JSON string"}
		}
		payload, err := base64.StdEncoding.AppendDecode(make([]byte, 0, base64.StdEncoding.DecodedLen(len(text))), text)
		if err != nil {
			return nil, &MalformedError{Reason: "data_base64 is not Base64"}
		}
		return payload, nil
	// Absent, which is not null: an event without data is not a tombstone.
	case s.data == nil:
		return []byte{}, nil
	case declaresJSON(s.ev.DataContentType):
		if s.ev.DataContentType == "" {
			// The JSON format implies this type; elsewhere it must be explicit.
			s.ev.DataContentType = "application/json"
		}
		return s.data, nil
	case s.data.Kind() != '"':
		return nil, &MalformedError{Reason: "data is not a JSON string, and its type " + quote(s.ev.DataContentType) + " is not JSON"}
	}
	// The text is never longer than its quoted form, so it is allocated once.
	text, err := jsontext.AppendUnquote(make([]byte, 0, len(s.data)), s.data)
	if err != nil {
		return nil, notJSON(err)
	}
	return text, nil
}

// notJSON returns the error for a value that is not JSON. It gives the offset but not
// the parser's text, which quotes a part of the data.
func notJSON(err error) error {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return &MalformedError{Reason: "the value is not valid JSON at byte " + strconv.FormatInt(syntax.ByteOffset, 10)}
	}
	return &MalformedError{Reason: "the value is not valid JSON"}
}
