package wire

import "strconv"

// MalformedError says why a record is no CloudEvent, or an event can't be
// written as one.
type MalformedError struct {
	// Attribute is the attribute at fault, empty where it is none in particular.
	Attribute string
	Reason    string
	Err       error // the cause, if there is one
}

func (e *MalformedError) Error() string {
	text := "not a CloudEvent: "
	if e.Attribute != "" {
		text += "attribute " + strconv.Quote(e.Attribute) + " "
	}
	text += e.Reason
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap gives the cause.
func (e *MalformedError) Unwrap() error { return e.Err }

// quote shows a short piece of a value in an error.
func quote(s string) string {
	const most = 40
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
