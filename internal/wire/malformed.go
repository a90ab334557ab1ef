package wire

import "strconv"

// MalformedError says why a record is not a CloudEvent, or why an event can't be
// written as one. Its text shows at most a short part of an attribute, and none of
// the data.
type MalformedError struct {
	// Form is the form that the record does not fit; empty for CloudEvents.
	Form string
	// Attribute is the attribute at fault, empty if there is none in particular.
	Attribute string
	// Reason follows the attribute's name in the text.
	Reason string
	// Err is the cause, nil if there is none of its own.
	Err error
}

// Error implements error.
func (e *MalformedError) Error() string {
	text := "not a CloudEvent: "
	if e.Form != "" {
		text = "not a record of the format " + quote(e.Form) + ": "
	}
	if e.Attribute != "" {
		text += "attribute " + quote(e.Attribute) + " "
	}
	text += e.Reason
	if e.Err != nil && e.Form == "" {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *MalformedError) Unwrap() error { return e.Err }

// quote returns a short part of a value for an error, escaped: attributes come
// from outside, and are shown in terminals and logs.
func quote(s string) string {
	const most = 40
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
