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

// PublishOption changes one publish. The functions of this package whose names begin
// with With return them; no other package can implement one.
//
// An invalid option (a bad name, an empty id) is an error of the publish, and nothing
// is sent.
type PublishOption interface {
	applyPublish(*publishSettings)
}

// BatchOption is a PublishOption that applies to many events at once. An id, a key and
// a subject belong to one event, so their options are not BatchOptions.
type BatchOption interface {
	PublishOption
	batchOption()
}

// publishSettings is the result of the options of one publish.
type publishSettings struct {
	id            string
	subject       string
	key           string
	keyed         bool // key is set, perhaps to the empty key
	time          time.Time
	correlationID string
	causationID   string
	extensions    map[string]string
	headers       []transport.Header
	step          string
	identify      func(ctx context.Context, topic, typ string, s *publishSettings) error // sets id; nil unless there is a step
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

// text sets an attribute to value, if CloudEvents allows that value.
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

// WithID sets the event's id, a new UUIDv7 by default. Source and id together identify
// an event, so give an id to one event only.
func WithID(id string) PublishOption {
	return eventOption(func(s *publishSettings) {
		if id == "" {
			s.fault("WithID: the id is empty")
			return
		}
		s.text("WithID", &s.id, id)
	})
}

// WithStep names the step of a handler that publishes the event. The event's id is then
// derived from the handled event and the name, so every attempt publishes this step
// under one id, whatever else it decides, and a downstream [Inbox] lets it through once.
// Each event of an attempt needs a step of its own, such as "charge", or "line " and its
// number; using a step twice for one topic and type is an error. [DerivedIDs] needs no
// names.
//
// In a batch handler, [CausedBy] says which event the step belongs to. Outside of
// handlers and in a replay the id is new.
func WithStep(name string) PublishOption {
	return eventOption(func(s *publishSettings) {
		if name == "" {
			s.fault("WithStep: the name is empty")
		}
		// A function, so that programs without steps don't link this code.
		s.step, s.identify = name, identifyStep
	})
}

// WithKey sets the record's key in place of the topic's. The empty key is a key like
// any other: its events are ordered.
func WithKey(key string) PublishOption {
	return eventOption(func(s *publishSettings) { s.key, s.keyed = key, true })
}

// WithSubject sets the event's subject: what it is about, within its source.
func WithSubject(subject string) PublishOption {
	return eventOption(func(s *publishSettings) { s.text("WithSubject", &s.subject, subject) })
}

// WithTime sets when the event happened, the time of publishing by default. A time
// whose offset RFC 3339 can't express is published in UTC. The record's own timestamp,
// from which retention counts, is still the time of publishing.
func WithTime(t time.Time) BatchOption {
	return sharedOption(func(s *publishSettings) {
		if t.IsZero() || wire.CheckTime(t) != nil {
			s.fault("WithTime: the time is zero or beyond the years 0 to 9999")
			return
		}
		s.time = wire.Writable(t)
	})
}

// WithExtension sets an extension attribute. The name may contain lower-case letters
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

// noExtension lists the names that WithExtension refuses, and what sets them instead.
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

// WithCorrelationID sets the extension correlationid. By default an event that a
// handler publishes inherits it from the event being handled.
func WithCorrelationID(id string) BatchOption {
	return sharedOption(func(s *publishSettings) { s.text("WithCorrelationID", &s.correlationID, id) })
}

// WithCausationID sets the extension causationid. By default an event that a handler
// publishes has the id of the event being handled.
func WithCausationID(id string) BatchOption {
	return sharedOption(func(s *publishSettings) { s.text("WithCausationID", &s.causationID, id) })
}

// WithHeader adds a header to the record, beside those of CloudEvents; keys may repeat.
// Keys that the bus writes itself are refused: content-type, those that begin with ce_
// or eventbus-, and those of the trace.
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

// PublishMiddleware sees every event that a [Publisher] publishes, once, before it is
// sent or, by [Publisher.Envelope], stored in an outbox. The middleware of [Config] runs
// in order in the publisher's goroutine, so concurrent publishes call it concurrently.
// An error or a panic refuses the publish; nothing is sent.
//
// The envelope is complete except for its trace. A middleware may change the event's
// content and description: Data, DataContentType, DataSchema, Subject, Time,
// CorrelationID, CausationID, Extensions and Headers. The map and the slice belong to
// the event. The bytes of Data are read only: replace the slice instead. Changing what
// the event is or where it goes (ID, Source, Type, Topic, Key, Tombstone) refuses the
// publish. An id that [DerivedIDs] derives from the data is set after the middleware,
// unless the middleware has replaced the data. The envelope is valid until the
// middleware returns. A tombstone has no data.
//
// Events published by [Bus.PublishEnvelope] and its variants, or by a [Transactor], are
// not seen: they passed through here when they were made, or come from elsewhere.
type PublishMiddleware func(ctx context.Context, e *Envelope) error
