package wire

import (
	"errors"
	"unicode/utf8"
)

// Check returns a *MalformedError if an event can't be written: a required
// attribute is empty (CloudEvents 3.1), a name breaks the naming conventions
// (3), a value is not a valid string (CloudEvents 3, type system: String), the
// time has no RFC 3339 form, or source, dataschema and datacontenttype are not
// what they must be (3.1). A valid event costs no allocation.
//
// Reading is more lenient: it refuses only what has no single meaning, since a
// foreign event with an odd source can still be handled.
func Check(ev *Event) error { return check(ev, new(passed)) }

// Check is the function Check, except that it skips values that it has just found valid: some
// are the same for most events of a topic.
func (e *Encoder) Check(ev *Event) error { return check(ev, &e.passed) }

// passed holds the last valid values of source, type, datacontenttype and
// dataschema.
// The zero value has none: empty values are not checked at all.
type passed [4]string

// check is Check, and skips the values in passed, which it updates.
func check(ev *Event, passed *passed) error {
	switch {
	case ev.ID == "":
		return &MalformedError{Attribute: id, Reason: "is required and empty"}
	case ev.Source == "":
		return &MalformedError{Attribute: source, Reason: "is required and empty"}
	case ev.Type == "":
		return &MalformedError{Attribute: typ, Reason: "is required and empty"}
	}
	// These four are costly to check and rarely change.
	for i, a := range [...]struct {
		name, value string
		form        func(string) error
	}{
		{source, ev.Source, CheckReference}, {typ, ev.Type, nil},
		{dataContentType, ev.DataContentType, CheckMediaType}, {dataSchema, ev.DataSchema, CheckURI},
	} {
		if a.value == "" || a.value == passed[i] {
			continue
		}
		if err := checkText(a.name, a.value); err != nil {
			return err
		}
		if a.form != nil {
			if err := a.form(a.value); err != nil {
				return &MalformedError{Attribute: a.name, Reason: err.Error() + ": " + quote(a.value)}
			}
		}
		// Set it only after both checks, so that an invalid value fails again.
		passed[i] = a.value
	}
	// These differ from event to event.
	for _, a := range [...]struct{ name, value string }{
		{id, ev.ID}, {subject, ev.Subject}, {correlationID, ev.CorrelationID}, {causationID, ev.CausationID},
		{traceParent, ev.TraceParent}, {traceState, ev.TraceState},
	} {
		if err := checkText(a.name, a.value); err != nil {
			return err
		}
	}
	for name, value := range ev.Extensions {
		switch {
		case !ValidName(name):
			return &MalformedError{Attribute: name, Reason: "has an invalid name: use lower-case letters a-z and digits"}
		case Reserved(name):
			return &MalformedError{Attribute: name, Reason: "is not an extension: it has a field of its own"}
		}
		if err := checkText(name, value); err != nil {
			return err
		}
	}
	if err := CheckTime(ev.Time); err != nil {
		return &MalformedError{Attribute: timestamp, Reason: err.Error()}
	}
	return nil
}

// checkText wraps CheckText's reason with the attribute's name.
func checkText(name, value string) error {
	if err := CheckText(value); err != nil {
		return &MalformedError{Attribute: name, Reason: err.Error()}
	}
	return nil
}

// These are the reasons of CheckText. They follow the attribute's name in the text.
var (
	errNotUTF8      = errors.New("is not UTF-8")
	errControl      = errors.New("holds a control character")
	errNoncharacter = errors.New("holds a code point that is not a character")
)

// CheckText returns an error if a value is not a valid string (CloudEvents 3,
// type system).
func CheckText(value string) error {
	for i := range len(value) {
		// Everything but printable ASCII takes the slow path.
		if value[i]-0x20 >= 0x7f-0x20 { // below 0x20 it wraps around
			return checkRunes(value)
		}
	}
	return nil
}

// checkRunes checks a value that has anything but printable ASCII. UTF-8 is checked first,
// since other text has no characters to check.
func checkRunes(value string) error {
	if !utf8.ValidString(value) {
		return errNotUTF8
	}
	for _, r := range value {
		switch {
		// C0, DEL and C1.
		case r < 0x20, r >= 0x7f && r <= 0x9f:
			return errControl
		// The last two code points of each plane, and the block in the Arabic
		// presentation forms (Unicode, section 23.7).
		case r&0xfffe == 0xfffe, r >= 0xfdd0 && r <= 0xfdef:
			return errNoncharacter
		}
	}
	return nil
}
