package wire

import (
	"strconv"
	"strings"

	"github.com/eventbus-go/eventbus/transport"
)

// Form is how the records of one topic are read and written. A nil *Form is
// CloudEvents, at no cost. A Form is not changed once it is in use.
type Form struct {
	// Name names the form in catalogues and errors.
	Name string
	// OnlyType is the type of records that name none.
	OnlyType string
	// TypeOf returns the type of a record, and "" if records of the form name none.
	TypeOf func(*transport.Record) (string, error)
	// Read sets the attributes of an event, and its data. What it leaves empty is
	// filled by Decode.
	Read func(*transport.Record, *Event) error
	// Write sets the value and the headers of a record.
	Write func(*Event, *transport.Record) error
	// Redelivered reports whether the records are events that came back to a group: what
	// they lack is derived from the position where they were first read.
	Redelivered bool
	// ID identifies what the form was made from. Two declarations of one topic must have
	// the same.
	ID any
	// Bound reports whether reading the data needs the event's id, so that a record
	// without it is refused.
	Bound bool
}

// Type returns the type of a record and whether it has one.
func (f *Form) Type(rec *transport.Record) (string, bool) {
	if f == nil {
		return Type(rec)
	}
	typ, err := f.typeOf(rec)
	return typ, err == nil
}

func (f *Form) typeOf(rec *transport.Record) (string, error) {
	typ, err := f.TypeOf(rec)
	switch {
	case err != nil:
		return "", &MalformedError{Form: f.Name, Reason: err.Error(), Err: err}
	case typ == "" && f.OnlyType == "":
		return "", &MalformedError{Form: f.Name, Attribute: "type", Reason: "is missing, and the topic has several types"}
	case typ == "":
		return f.OnlyType, nil
	}
	if err := CheckText(typ); err != nil {
		return "", &MalformedError{Form: f.Name, Attribute: "type", Reason: err.Error()}
	}
	return typ, nil
}

// Decode decodes rec into ev, which it overwrites, as the function Decode does for
// CloudEvents. What a foreign record lacks is derived from its position, always with the
// same result: first is the record as it was first read, whose position counts.
//
// The id of a record that has none is "topic/partition@offset" and its timestamp,
// so that the records of a topic that was created again have others.
func (f *Form) Decode(rec, first *transport.Record, ev *Event) error {
	if f == nil {
		return Decode(rec, ev)
	}
	*ev = Event{}
	place(rec, ev)
	ev.Headers = rec.Headers
	typ, fault := f.typeOf(first)
	if fault == nil {
		fault = f.Read(first, ev)
	}
	// Read may have set more than it should: the position is always the record's.
	data := ev.Data
	place(rec, ev)
	if !ev.Tombstone && fault == nil {
		ev.Data = nonNil(data)
	}
	if ev.Type == "" {
		ev.Type = typ
	}
	if ev.ID == "" {
		ev.ID = PlaceID(first)
	}
	if ev.Source == "" {
		ev.Source = "urn:kafka:" + first.Topic
	}
	if ev.Time.IsZero() && CheckTime(first.Time) == nil {
		ev.Time = first.Time
	}
	if ev.Tombstone {
		return nil // a deletion needs no attribute
	}
	if _, ours := fault.(*MalformedError); fault != nil && !ours { //nolint:errorlint // what a Read of this package made itself
		fault = &MalformedError{Form: f.Name, Reason: fault.Error(), Err: fault}
	}
	for _, a := range [...]struct{ name, value string }{{id, ev.ID}, {source, ev.Source}, {typeName, ev.Type}} {
		if err := CheckText(a.value); err != nil && fault == nil {
			fault = &MalformedError{Form: f.Name, Attribute: a.name, Reason: err.Error()}
		}
	}
	return fault
}

// typeName is the attribute type.
const typeName = typ

// place sets what an event has of its record.
func place(rec *transport.Record, ev *Event) {
	ev.Data, ev.Tombstone = rec.Value, rec.Value == nil
	ev.Topic, ev.Partition, ev.Offset = rec.Topic, rec.Partition, rec.Offset
	ev.Key, ev.Timestamp = rec.Key, rec.Time
}

// PlaceID returns the id of a record that names none.
func PlaceID(rec *transport.Record) string {
	var b strings.Builder
	b.WriteString(rec.Topic)
	b.WriteByte('/')
	b.WriteString(strconv.Itoa(int(rec.Partition)))
	b.WriteByte('@')
	b.WriteString(strconv.FormatInt(rec.Offset, 10))
	// A time that no header can hold is not there any more when the record comes back.
	if !rec.Time.IsZero() && CheckTime(rec.Time) == nil {
		b.WriteByte('-')
		b.WriteString(strconv.FormatInt(rec.Time.UnixMilli(), 10))
	}
	return b.String()
}

// Encode fills rec with ev, in binary mode if f is nil. ev must have passed Check.
func (f *Form) Encode(e *Encoder, ev *Event, rec *transport.Record) error {
	if f == nil {
		e.Binary(ev, rec)
		return nil
	}
	Raw(ev, rec)
	if ev.Tombstone {
		return nil
	}
	if err := f.Write(ev, rec); err != nil {
		return &MalformedError{Form: f.Name, Reason: err.Error(), Err: err}
	}
	rec.Value = nonNil(rec.Value) // a tombstone must not arise by accident
	if f.Bound {
		var again Event
		if err := f.Decode(rec, rec, &again); err != nil {
			return err
		}
		if again.ID != ev.ID {
			return &MalformedError{Form: f.Name, Attribute: id, Reason: "has no place in the record, and the data could not be read without it"}
		}
	}
	return nil
}

// Raw fills rec with the key, the data and the headers of ev as they are.
func Raw(ev *Event, rec *transport.Record) {
	*rec = transport.Record{
		Topic: ev.Topic, Partition: transport.AnyPartition, Key: ev.Key, Value: ev.Data, Headers: ev.Headers,
		Time: ev.Timestamp, LeaderEpoch: -1,
	}
	if !ev.Tombstone {
		rec.Value = nonNil(rec.Value)
	}
}

// Intern returns b as a string, and keeps the string for the next record with the same
// value. It is for values that repeat, such as types.
func Intern(b []byte) string {
	s, _ := interned.get(b)
	return s
}
