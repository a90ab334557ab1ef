package wire

import (
	"bytes"
	"errors"
	"time"
)

// errYear follows the attribute's name in the text.
var errYear = errors.New("lies outside the years 0 to 9999 of RFC 3339")

// CheckTime returns an error if a time has no RFC 3339 form, which CloudEvents 3
// (type system: Timestamp) prescribes. The zero time, an unset attribute, is
// valid.
func CheckTime(t time.Time) error {
	if y := Writable(t).Year(); !t.IsZero() && (y < 0 || y > 9999) {
		return errYear
	}
	return nil
}

// Writable returns the time that is written for t: the same instant, in UTC if
// RFC 3339 has no form for t's offset. Its offsets are whole minutes of less than
// a day; local time before time zones (Berlin in 1890, +00:53:28) would be written
// as another instant, and +25:00 could not be read back.
func Writable(t time.Time) time.Time {
	if _, offset := t.Zone(); offset%60 != 0 || offset <= -24*3600 || offset >= 24*3600 {
		return t.UTC()
	}
	return t
}

// parseTime parses an RFC 3339 time as the time package does, and two forms that
// it refuses: T and Z in lower case (5.6), and a leap second (5.7), which is read
// as the second that follows it, as clocks without leap seconds count.
func parseTime(text []byte) (time.Time, error) {
	var t time.Time
	// The usual form costs one attempt.
	err := t.UnmarshalText(text)
	if err != nil {
		upper := bytes.ToUpper(text)
		if err = t.UnmarshalText(upper); err != nil {
			t, err = parseLeapSecond(upper)
		}
	}
	if err != nil {
		return time.Time{}, &MalformedError{Attribute: timestamp, Reason: "is " + quote(string(text)) + ", which is not an RFC 3339 time"}
	}
	return t, nil
}

var errNoLeapSecond = errors.New("no leap second")

// parseLeapSecond parses a time at second 60, which must be the last one of a day in
// UTC, whatever its offset.
func parseLeapSecond(text []byte) (time.Time, error) {
	const at = len("2006-01-02T15:04:")
	if len(text) < at+2 || string(text[at:at+2]) != "60" {
		return time.Time{}, errNoLeapSecond
	}
	// Second 59 of the same minute is always valid, and one second before.
	before := bytes.Clone(text)
	copy(before[at:], "59")
	var t time.Time
	if err := t.UnmarshalText(before); err != nil {
		return time.Time{}, err
	}
	if hour, minute, _ := t.UTC().Clock(); hour != 23 || minute != 59 {
		return time.Time{}, errNoLeapSecond
	}
	return t.Add(time.Second), nil
}

// recentMinute is the minute of the last time in UTC: the times of events that follow
// each other mostly differ in their seconds only. The zero value has none.
type recentMinute struct {
	text  [len("2006-01-02T15:04:")]byte
	start time.Time
}

// parse does what parseTime does.
func (m *recentMinute) parse(text []byte) (time.Time, error) {
	split := min(len(m.text), len(text))
	since, ok := secondsOf(text[split:])
	if ok && !m.start.IsZero() && string(text[:split]) == string(m.text[:]) {
		return m.start.Add(since), nil
	}
	t, err := parseTime(text)
	if ok && err == nil {
		m.start = t.Add(-since)
		copy(m.text[:], text)
	}
	return t, err
}

// secondsOf reads the seconds of a time in UTC, with or without a fraction, up to the Z
// at its end: "05Z", "05.123Z". It returns false for anything else.
func secondsOf(text []byte) (since time.Duration, ok bool) {
	end := len(text) - 1
	if end < len("05") || end > len("05.123456789") || text[end] != 'Z' || end == len("05.") {
		return 0, false
	}
	unit := 10 * time.Second
	for i, c := range text[:end] {
		switch {
		case i == len("05") && c == '.':
			continue
		case i == len("05") || c < '0' || c > '9':
			return 0, false
		}
		since += time.Duration(c-'0') * unit
		unit /= 10
	}
	return since, since < time.Minute
}

// ParseTime parses an RFC 3339 time as in attributes. With an error it returns the zero
// time.
func ParseTime(text []byte) (time.Time, error) { return parseTime(text) }
