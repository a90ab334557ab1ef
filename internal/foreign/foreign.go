// Package foreign reads records without knowing their topic's declaration: tools, a console
// and jobs on dead letters see topics of all programs. It reads CloudEvents, and records
// whose headers show a form that package format has.
package foreign

import (
	"encoding/json"
	"sync"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/format"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// Form returns the form that a record's headers show, and nil for CloudEvents and for
// records that show none. It is safe for concurrent use.
func Form(r *transport.Record) *wire.Form {
	// A record with a CloudEvents type is a CloudEvent, even if a malformed one: Type and
	// Decode have to agree on what a record is.
	if _, ok := wire.Type(r); ok {
		return nil
	}
	f, ok := format.Detect(r)
	if !ok {
		return nil
	}
	if known, ok := forms.Load(f); ok {
		return known.(*wire.Form) //nolint:forcetypeassert // forms has nothing else
	}
	// Use a declaration, so that the form is the same as that of a service's topic. Records
	// without a type are shown with the name of their format instead.
	topic := eventbus.NewTopic(eventbus.TopicConfig[json.RawMessage]{Address: "foreign", Type: f.Name(), Format: f})
	known, _ := forms.LoadOrStore(f, topic.Declaration().Form)
	return known.(*wire.Form) //nolint:forcetypeassert // as above
}

// forms has a *wire.Form for each eventbus.Format seen so far. Detect knows few, so it is
// bounded.
var forms sync.Map

// Type returns the type of a record's event and whether it has one.
func Type(r *transport.Record) (string, bool) { return Form(r).Type(r) }

// Decode decodes a record into e, which it overwrites, and keeps the record's memory. A
// dead letter is decoded as its group saw the event: an id that is derived from a position
// is that of the position where it was first read. Even with an error, e has at least the
// record's position, key, headers and value.
func Decode(r *transport.Record, e *wire.Event) error {
	return decode(Form(r), r, e)
}

// DecodePlain is Decode for a record that says nothing of itself, of a topic whose format
// is plain and that has one type. It returns false, and leaves e as it is, for any other
// record, for what can't be a type, and for a dead letter in which its group found another
// type, or none.
func DecodePlain(typ string, r *transport.Record, e *wire.Event) bool {
	if _, ok := Type(r); ok || typ == "" || r.Excess != nil || wire.CheckText(typ) != nil {
		return false
	}
	if letter.IsLetter(r) {
		// The format may find types in records by a header or a function, of which nothing
		// here knows.
		if reason, _ := r.Header(letter.Reason); string(reason) == letter.ReasonUnknownType || string(reason) == letter.ReasonMalformed {
			return false
		}
	}
	form := *plain()
	form.OnlyType = typ
	var event wire.Event
	if decode(&form, r, &event) != nil {
		return false
	}
	*e = event
	return true
}

// plain returns the form of records that consist only of their data.
var plain = sync.OnceValue(func() *wire.Form {
	return eventbus.NewTopic(eventbus.TopicConfig[json.RawMessage]{Address: "foreign", Type: "plain", Format: format.Plain(format.PlainConfig{})}).Declaration().Form
})

func decode(form *wire.Form, r *transport.Record, e *wire.Event) error {
	if form == nil {
		return wire.Decode(r, e)
	}
	switch {
	case letter.IsLetter(r):
		// A damaged letter is read as far as possible; one without a topic is not a letter.
		if l, _ := letter.Read(r); l.Origin.Topic != "" {
			return l.Event(form, e)
		}
	case letter.CameBack(r):
		redelivered := *form
		redelivered.Redelivered = true
		form = &redelivered
	}
	return letter.Decode(form, r, e)
}
