package redrive

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/eventbus-go/eventbus/internal/foreign"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/wire"
)

// Filter chooses letters. The zero Filter chooses all. A letter must meet every condition
// that is set; a condition with several values is met by any of them.
type Filter struct {
	Types        []string `json:"types,omitempty"`        // types of events; see Plain
	Keys         Keys     `json:"keys,omitempty"`         // keys of records
	IDs          []string `json:"ids,omitempty"`          // ids of events
	Groups       []string `json:"groups,omitempty"`       // consumer groups that failed
	Reasons      []string `json:"reasons,omitempty"`      // reasons of dead letters, such as exhausted
	Fingerprints []string `json:"fingerprints,omitempty"` // causes, as returned by CauseOf
	// Ranges are places in the dead-letter topic.
	Ranges []Range `json:"ranges,omitempty"`
	// States are decisions. If empty, a job chooses the letters to which its Action
	// applies.
	States []State `json:"states,omitempty"`
	// After and Before bound the time of the last failure, [After, Before). A
	// zero time means no bound.
	After  time.Time `json:"after,omitzero"`
	Before time.Time `json:"before,omitzero"`
	// Plain is not a condition. It maps the topics from which records were first read to the
	// type of their records that name none; Types and IDs choose these records by it. It is
	// stored with a job, so that whichever process resumes it chooses the same letters.
	Plain map[string]string `json:"plain,omitempty"`
}

// Keys are keys of records. They may be any bytes, so JSON encodes them in Base64.
type Keys []string

// MarshalJSON returns a list of texts in Base64.
func (k Keys) MarshalJSON() ([]byte, error) {
	raw := make([][]byte, len(k))
	for i := range k {
		raw[i] = []byte(k[i])
	}
	return json.Marshal(raw)
}

// UnmarshalJSON accepts what MarshalJSON returns.
func (k *Keys) UnmarshalJSON(text []byte) error {
	var raw [][]byte
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	*k = make(Keys, len(raw))
	for i := range raw {
		(*k)[i] = string(raw[i])
	}
	return nil
}

// Range is a range of offsets in one partition of a dead-letter topic, [From, To).
type Range struct {
	Partition int32 `json:"partition"`
	From      int64 `json:"from"`
	To        int64 `json:"to"`
}

// At returns the Range of one letter.
func At(partition int32, offset int64) Range { return Range{partition, offset, offset + 1} }

// Bounds of a Filter. It is stored again with each step of its job, so it must be small.
const (
	maxValues = 500
	maxValue  = 4 << 10
)

// Validate returns an error that names every invalid condition.
func (f *Filter) Validate() error {
	var wrong []error
	for _, c := range []struct {
		name   string
		values []string
	}{{"types", f.Types}, {"keys", f.Keys}, {"ids", f.IDs}, {"groups", f.Groups}, {"reasons", f.Reasons}, {"fingerprints", f.Fingerprints}} {
		if len(c.values) > maxValues {
			wrong = append(wrong, fmt.Errorf("%d %s are too many: name at most %d, or choose by another condition", len(c.values), c.name, maxValues))
		}
		for _, v := range c.values {
			switch {
			case len(v) > maxValue:
				wrong = append(wrong, fmt.Errorf("one of the %s has %d bytes: at most %d are stored", c.name, len(v), maxValue))
			case c.name != "keys" && !utf8.ValidString(v):
				wrong = append(wrong, fmt.Errorf("%q among the %s is not UTF-8", v, c.name))
			}
		}
	}
	if len(f.Plain) > maxValues {
		wrong = append(wrong, fmt.Errorf("%d plain topics are too many: name at most %d", len(f.Plain), maxValues))
	}
	if len(f.Ranges) > maxValues {
		wrong = append(wrong, fmt.Errorf("%d ranges are too many: name at most %d", len(f.Ranges), maxValues))
	}
	for _, r := range f.Ranges {
		if r.Partition < 0 || r.From < 0 || r.To <= r.From {
			wrong = append(wrong, fmt.Errorf("range %d@%d-%d has no offsets: write the first, and the one after the last", r.Partition, r.From, r.To))
		}
	}
	if !f.After.IsZero() && !f.Before.IsZero() && !f.After.Before(f.Before) {
		wrong = append(wrong, errors.New("no time is between the bounds"))
	}
	return errors.Join(wrong...)
}

// Takes reports whether the filter chooses a letter that is in state s. foreign says why the
// record is not a dead letter, and is nil if it is one. Takes checks the cheap conditions first.
func (f *Filter) Takes(l *letter.Letter, s State, foreign error) bool {
	// An empty list means no condition.
	among := func(values []string, is string) bool { return len(values) == 0 || slices.Contains(values, is) }
	if len(f.States) > 0 && !slices.ContainsFunc(f.States, s.Is) || !among(f.Reasons, l.Reason) || !among(f.Groups, l.Group) {
		return false
	}
	if len(f.Ranges) > 0 && !slices.ContainsFunc(f.Ranges, func(r Range) bool {
		return r.Partition == l.Record.Partition && r.From <= l.Record.Offset && l.Record.Offset < r.To
	}) {
		return false
	}
	if len(f.Keys) > 0 && (l.Record.Key == nil || !slices.Contains(f.Keys, string(l.Record.Key))) {
		return false
	}
	if !f.After.IsZero() && l.LastFailure.Before(f.After) || !f.Before.IsZero() && !l.LastFailure.Before(f.Before) {
		return false
	}
	if len(f.Types) > 0 || len(f.IDs) > 0 {
		typ, id := Type(l), ID(l)
		if typ == "" {
			typ, id = f.plain(l)
		}
		if !among(f.Types, typ) || !among(f.IDs, id) {
			return false
		}
	}
	if len(f.Fingerprints) == 0 {
		return true
	}
	cause, _, _ := CauseOf(l, foreign)
	return slices.Contains(f.Fingerprints, cause)
}

// plain returns the type and the id of an event whose record names no type, or empty strings
// if Plain does not name it.
func (f *Filter) plain(l *letter.Letter) (typ, id string) {
	e := wire.Event{Topic: l.Record.Topic, Headers: l.Record.Headers}
	if foreign.DecodePlain(f.Plain[letter.FirstRead(&e)], l.Record, &e) {
		return e.Type, e.ID
	}
	return "", ""
}

// Type returns the type of a letter's event, or "" if the record has none. Records of other
// programs have a type if they name one.
func Type(l *letter.Letter) string {
	typ, _ := foreign.Type(l.Record)
	return typ
}

// ID returns the id of a letter's event, or "" if the record is not an event.
func ID(l *letter.Letter) string {
	var e wire.Event
	if foreign.Decode(l.Record, &e) != nil {
		return ""
	}
	return e.ID
}
