package wire

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/eventbus-go/eventbus/transport"
)

// Decoder decodes records one after another, and keeps what most of them have in
// common, so that the next one costs less. The zero value is ready for use. A Decoder is
// not safe for concurrent use.
type Decoder struct {
	source, typ, contentType, schema recentText
	times                            recentMinute
	texts                            texts
}

// Decode decodes rec without a Decoder of the caller's own.
func Decode(rec *transport.Record, ev *Event) error {
	var d Decoder
	return d.Decode(rec, ev)
}

// Decode decodes rec, in either mode, into ev, which it overwrites. Data, Key
// and Headers share rec's memory; strings do not. An error is a *MalformedError;
// the fields of the record (Topic to Timestamp) and Data are set even then, so
// that a dead letter can be written.
//
// An attribute that occurs twice is malformed: readers differ in which one they
// use, so two services could see two events. The case of letters in names of
// attributes does not count, and names of extensions are otherwise unchecked. An
// empty optional attribute is an unset one. An event without data has empty Data.
//
// A record without a value is a tombstone, whatever its headers: it is never
// malformed, and attributes that can't be decoded are left out.
func (d *Decoder) Decode(rec *transport.Record, ev *Event) error {
	// Field by field from here: a literal would be built elsewhere and copied.
	*ev = Event{}
	ev.Data, ev.Tombstone = rec.Value, rec.Value == nil
	ev.Topic, ev.Partition, ev.Offset = rec.Topic, rec.Partition, rec.Offset
	ev.Key, ev.Timestamp = rec.Key, rec.Time
	if ev.Tombstone {
		// A deletion needs no attribute.
		_ = d.binary(rec, ev)
		return nil
	}
	ct, once := contentTypeOf(rec)
	if !once {
		return twice(dataContentType)
	}
	switch format(ct) {
	case formatJSON:
		ev.Headers = allPlainHeaders(rec)
		return decodeStructured(rec.Value, ev)
	case formatBatch:
		return &MalformedError{Reason: "a batch of events in one record: the Kafka binding has no batch mode, publish one record per event"}
	case formatOther:
		return &MalformedError{Reason: "event format " + quote(string(ct)) + " is not understood, only " + cloudEventsJSON + " is"}
	}
	return d.binary(rec, ev)
}

// Type returns the CloudEvents type of a record and whether it has one. It is used to
// choose a handler before the whole record is decoded.
func Type(rec *transport.Record) (string, bool) {
	if rec.Value != nil {
		ct, once := contentTypeOf(rec)
		switch f := format(ct); {
		case !once || f == formatBatch || f == formatOther:
			return "", false
		case f == formatJSON:
			var ev Event
			if err := decodeStructured(rec.Value, &ev); err != nil {
				return "", false
			}
			return ev.Type, true
		}
	}
	var v []byte
	// The length is compared first: nearly all other headers fail it.
	for i := range rec.Headers {
		key := rec.Headers[i].Key
		if len(key) != len(prefix)+len(typ) {
			continue
		}
		if name, ok := attributeName(key); ok && name == typ {
			if v != nil {
				// It occurs twice.
				return "", false
			}
			v = nonNil(rec.Headers[i].Value)
		}
	}
	text, valid := interned.get(v)
	return text, valid && len(v) > 0
}

// contentTypeOf returns the value of the content-type header, which tells the
// modes apart, and false if there are several that differ.
func contentTypeOf(rec *transport.Record) (ct []byte, once bool) {
	for i := range rec.Headers {
		h := &rec.Headers[i]
		if !isContentType(h.Key) {
			continue
		}
		if ct != nil && !bytes.Equal(ct, h.Value) {
			return nil, false
		}
		ct = nonNil(h.Value)
	}
	return ct, true
}

// nonNil distinguishes what is empty from what is absent.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// twice returns the error of an attribute that occurs twice. The name may lie in memory
// that is lent, and the error is kept for longer.
func twice(attribute string) error {
	return &MalformedError{Attribute: strings.Clone(attribute), Reason: "occurs twice"}
}

// texts makes strings that share allocations: one for every seven events that have
// only an id. The zero value is ready for use; its first string has an allocation of
// its own, since most decoders without an owner read one event.
type texts struct {
	room strings.Builder
	used bool
}

// textRoom is the size of an allocation in bytes, which a string that is kept keeps.
// Longer texts than a quarter of it have their own.
const textRoom = 256

// add returns text as a string.
func (t *texts) add(text []byte) string {
	if !t.used || len(text) > textRoom/4 {
		t.used = true
		return string(text)
	}
	if t.room.Cap()-t.room.Len() < len(text) {
		t.room.Reset()
		t.room.Grow(textRoom)
	}
	at := t.room.Len()
	t.room.Write(text)
	return t.room.String()[at:]
}

// span is a part of the text that all attributes of an event share, and its
// destination: a field of the event or, if to is nil, the extension of that
// name.
type span struct {
	to *string
	// extension is a name, empty if to is set.
	extension string
	// from and end are offsets in the shared text.
	from, end int
}

// binary decodes the headers (binding 3.2.3). Texts that differ from event
// to event are gathered first and converted to one string, which is one
// allocation instead of one per attribute; those that repeat are interned.
func (d *Decoder) binary(rec *transport.Record, ev *Event) error {
	var (
		// Arrays of this size hold usual events on the stack.
		bytesRoom [320]byte
		spanRoom  [12]span
		text      = bytesRoom[:0]
		spans     = spanRoom[:0]
		spec      []byte
		when      []byte
		ct        []byte
		plain     plainHeaders
		fault     error
		seen      attributes
	)
	for i := range rec.Headers {
		h := &rec.Headers[i]
		name, bit := knownAttribute(h.Key)
		if bit == 0 {
			// Rare: another extension, a name with capitals, or no attribute at all.
			var ok bool
			switch name, ok = attributeName(h.Key); {
			case ok:
				bit = attributeBit(name)
			case isContentType(h.Key):
				ct = h.Value
				continue
			default:
				plain.add(i)
				continue
			}
		}
		if seen.add(bit) {
			fault = twice(name)
			continue
		}
		switch bit {
		// required checks it at the end, after all the others.
		case specVersionBit:
			spec = h.Value
		case timestampBit:
			when = h.Value
		case sourceBit, typBit, dataContentTypeBit, dataSchemaBit:
			value, valid := d.recent(bit).get(h.Value)
			if *bit.field(ev) = value; !valid {
				fault = &MalformedError{Attribute: strings.Clone(name), Reason: "is not UTF-8"}
			}
		default:
			s := span{to: bit.field(ev), from: len(text), end: len(text) + len(h.Value)}
			if s.to == nil {
				// The name may lie in memory that is lent.
				s.extension, _ = interned.get([]byte(name))
			}
			text = append(text, h.Value...)
			spans = append(spans, s)
		}
	}
	ev.Headers = plain.of(rec)
	valid := utf8.Valid(text)
	if len(ct) > 0 {
		if ev.DataContentType != "" && ev.DataContentType != string(ct) {
			// It is there as ce_datacontenttype too, and they differ.
			fault = twice(dataContentType)
		}
		var whole bool
		ev.DataContentType, whole = d.contentType.get(ct)
		valid = valid && whole
	}
	if !valid {
		fault = &MalformedError{Reason: "an attribute in the headers is not UTF-8"}
	}
	// One conversion for all of them: each attribute is a part of this string.
	all := d.texts.add(text)
	for _, s := range spans {
		if s.to != nil {
			*s.to = all[s.from:s.end]
			continue
		}
		if ev.Extensions == nil {
			ev.Extensions = make(map[string]string, 4)
		}
		// An extension has no bit in seen: two headers of one name meet here.
		if _, known := ev.Extensions[s.extension]; known {
			fault = twice(s.extension)
		}
		ev.Extensions[s.extension] = all[s.from:s.end]
	}
	if len(when) > 0 {
		t, err := d.times.parse(when)
		if err != nil {
			fault = err
		}
		ev.Time = t
	}
	// A fault is returned only now: all attributes that could be read are in ev,
	// for a dead letter.
	switch {
	case seen == 0:
		return &MalformedError{Reason: "the record has neither " + prefix + " headers nor the content type " + cloudEventsJSON}
	case fault != nil:
		return fault
	}
	return required(string(spec), ev)
}

// recent returns the last text of an attribute whose values repeat.
func (d *Decoder) recent(a attributes) *recentText {
	switch a {
	case sourceBit:
		return &d.source
	case typBit:
		return &d.typ
	case dataSchemaBit:
		return &d.schema
	}
	return &d.contentType
}

// required checks the attributes that every event must have (CloudEvents 3.1).
func required(spec string, ev *Event) error {
	switch {
	case spec == "":
		return &MalformedError{Attribute: specVersion, Reason: "is missing"}
	case spec != version:
		return &MalformedError{Attribute: specVersion, Reason: "is " + quote(spec) + ", only " + version + " is understood"}
	case ev.ID == "":
		return &MalformedError{Attribute: id, Reason: "is missing"}
	case ev.Source == "":
		return &MalformedError{Attribute: source, Reason: "is missing"}
	case ev.Type == "":
		return &MalformedError{Attribute: typ, Reason: "is missing"}
	}
	return nil
}
