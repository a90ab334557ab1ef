package eventbus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// PublishOption changes one event of one publish. The functions of this package
// that begin with With make them; the set is closed.
//
// What an option can't do (an invalid name, an empty id) is an error of the
// publish, which has no effect then.
type PublishOption interface {
	applyPublish(*publishSettings)
}

// BatchOption is a PublishOption that makes sense for many events at once:
// never an id, a key or a subject, which belong to one.
type BatchOption interface {
	PublishOption
	batchOption()
}

// publishSettings is the sum of the options of one publish.
type publishSettings struct {
	id            string
	subject       string
	key           string
	keyed         bool // key is set, maybe to the empty key
	time          time.Time
	correlationID string
	causationID   string
	extensions    map[string]string
	headers       []transport.Header
	step          string
	identify      func(ctx context.Context, topic, typ string, s *publishSettings) error // sets id; nil but for a step
	faults        []error
}

// apply applies an option. A nil one says nothing, as one of a subscription does.
func apply(s *publishSettings, option PublishOption) {
	if option != nil {
		option.applyPublish(s)
	}
}

// err returns everything that is wrong with the options, nil if nothing is.
func (s *publishSettings) err() error { return errors.Join(s.faults...) }

func (s *publishSettings) fault(format string, args ...any) {
	s.faults = append(s.faults, fmt.Errorf(format, args...))
}

// text sets an attribute to value, if CloudEvents allows it.
func (s *publishSettings) text(option string, to *string, value string) {
	if err := wire.CheckText(value); err != nil {
		s.fault("%s: the value %w", option, err)
		return
	}
	*to = value
}

type eventOption func(*publishSettings)

func (o eventOption) applyPublish(s *publishSettings) { o(s) }

type sharedOption func(*publishSettings)

func (o sharedOption) applyPublish(s *publishSettings) { o(s) }

func (o sharedOption) batchOption() {}

// WithID sets the event's id, which is a new UUIDv7 otherwise. Source and id
// together identify an event: give one id to one event only.
func WithID(id string) PublishOption {
	return eventOption(func(s *publishSettings) {
		if id == "" {
			s.fault("WithID: the id is empty")
			return
		}
		s.text("WithID", &s.id, id)
	})
}

// WithStep names the place of a handler at which it publishes the event. Its id is
// then derived from the handled event and the name, so that every attempt, whatever it
// decides otherwise, publishes this step under one id, and a downstream [Inbox] lets it
// through once. Each event of an attempt has a step of its own, such as "charge", or
// "line " and its number: the second one of a topic, a type and a step is an error.
// Contrast [DerivedIDs], which needs no names.
//
// In a batch handler, [CausedBy] says whose step it is. Outside of handlers and in a
// replay the id is new.
func WithStep(name string) PublishOption {
	return eventOption(func(s *publishSettings) {
		if name == "" {
			s.fault("WithStep: the name is empty")
		}
		// A function, so that a program without steps links nothing of them.
		s.step, s.identify = name, identifyStep
	})
}

// WithKey sets the record's key in place of the topic's. The empty key is a key
// like any other: its events are in order.
func WithKey(key string) PublishOption {
	return eventOption(func(s *publishSettings) { s.key, s.keyed = key, true })
}

// WithSubject sets the event's subject: what, within its source, it is about.
func WithSubject(subject string) PublishOption {
	return eventOption(func(s *publishSettings) { s.text("WithSubject", &s.subject, subject) })
}

// WithTime sets when the event happened; the time of publishing otherwise. A time
// whose offset RFC 3339 can't write is published in UTC. The record's own timestamp
// stays the time of publishing, which retention counts from.
func WithTime(t time.Time) BatchOption {
	return sharedOption(func(s *publishSettings) {
		if t.IsZero() || wire.CheckTime(t) != nil {
			s.fault("WithTime: the time is zero or beyond the years 0 to 9999")
			return
		}
		s.time = wire.Writable(t)
	})
}

// WithExtension sets an extension attribute. Its name has lower-case letters
// a-z and digits only (CloudEvents 1.0.2, section 3, naming conventions).
func WithExtension(name, value string) BatchOption {
	return sharedOption(func(s *publishSettings) { s.extension(name, value) })
}

func (s *publishSettings) extension(name, value string) {
	if instead, ok := noExtension[name]; ok {
		s.fault("WithExtension: %s is %s", name, instead)
		return
	}
	switch err := wire.CheckText(value); {
	case !wire.ValidName(name):
		s.fault("WithExtension: the name %q is invalid, use lower-case letters a-z and digits", name)
	case wire.Reserved(name):
		s.fault("WithExtension: %s is an attribute of CloudEvents and no extension", name)
	case err != nil:
		s.fault("WithExtension: the value of %s %w", name, err)
	default:
		if s.extensions == nil {
			s.extensions = make(map[string]string)
		}
		s.extensions[name] = value
	}
}

// noExtension are the names that have a better place, and where it is.
var noExtension = map[string]string{
	"id":              "set by WithID",
	"subject":         "set by WithSubject",
	"time":            "set by WithTime",
	"correlationid":   "set by WithCorrelationID",
	"causationid":     "set by WithCausationID",
	"traceparent":     "taken from the context's trace",
	"tracestate":      "taken from the context's trace",
	wire.PartitionKey: "the record's key, which the topic's Key or WithKey sets",
}

// WithCorrelationID sets the extension correlationid. Without it an event that
// a handler publishes has that of the event it handles.
func WithCorrelationID(id string) BatchOption {
	return sharedOption(func(s *publishSettings) { s.text("WithCorrelationID", &s.correlationID, id) })
}

// WithCausationID sets the extension causationid. Without it an event that a
// handler publishes has the id of the event it handles.
func WithCausationID(id string) BatchOption {
	return sharedOption(func(s *publishSettings) { s.text("WithCausationID", &s.causationID, id) })
}

// WithHeader adds a header to the record, beside CloudEvents; keys may repeat.
// Keys that the bus itself writes are refused: content-type, those that begin
// with ce_ or eventbus-, and the trace's.
func WithHeader(key, value string) BatchOption {
	return sharedOption(func(s *publishSettings) {
		lower := strings.ToLower(key)
		switch {
		case key == "":
			s.fault("WithHeader: the key is empty")
		case strings.HasPrefix(lower, "ce_"):
			s.fault("WithHeader: %q is a CloudEvents attribute, use WithExtension", key)
		case wire.Owned(key), strings.HasPrefix(lower, "eventbus-"), lower == "traceparent", lower == "tracestate":
			s.fault("WithHeader: %q is written by the bus", key)
		default:
			s.headers = append(s.headers, transport.Header{Key: key, Value: []byte(value)})
		}
	})
}

// PublishMiddleware sees every event that a [Publisher] makes, once, before it is sent
// or, by [Publisher.Envelope], stored in an outbox. Those of [Config] run in their
// order, in the publisher's goroutine, concurrently for concurrent publishes. An error
// refuses the publish, and so does a panic; nothing was sent then.
//
// The envelope is complete but for its trace. A middleware may change what describes
// the event and what it carries: Data, DataContentType, DataSchema, Subject, Time,
// CorrelationID, CausationID, Extensions and Headers, of which the map and the slice
// are the event's own. Data itself is read only: put another slice in its place. What
// the event is and where it goes (ID, Source, Type, Topic, Key, Tombstone) stays, or
// the publish is refused. An id that is derived from the data, by [DerivedIDs], comes
// after the middleware, unless that has replaced the data. The envelope is valid until
// the middleware returns. A tombstone has no data.
//
// What is published by [Bus.PublishEnvelope] and its kind, or by a [Transactor], is
// not seen: it was when it was made, or it is somebody else's event.
type PublishMiddleware func(ctx context.Context, e *Envelope) error
