package cloudevents

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/wire"
)

// Event returns an envelope as the CloudEvents SDK has it, with memory of
// its own. A key that is text becomes the extension partitionkey, where the
// event has none. What belongs to the record (place, headers) is left out. An
// event without a required attribute, or with an invalid one, is an error.
func Event(e *eventbus.Envelope) (event.Event, error) {
	if err := wire.Check((*wire.Event)(e)); err != nil {
		return event.Event{}, err
	}
	ce := event.New(event.CloudEventsVersionV1)
	ce.SetID(e.ID)
	ce.SetSource(e.Source)
	ce.SetType(e.Type)
	if e.Subject != "" {
		ce.SetSubject(e.Subject)
	}
	if e.DataContentType != "" {
		ce.SetDataContentType(e.DataContentType)
	}
	if e.DataSchema != "" {
		ce.SetDataSchema(e.DataSchema)
	}
	if !e.Time.IsZero() {
		ce.SetTime(e.Time)
	}
	if len(e.Key) > 0 && utf8.Valid(e.Key) {
		ce.SetExtension(wire.PartitionKey, string(e.Key))
	}
	for name, value := range e.Extensions {
		ce.SetExtension(name, value)
	}
	for name, value := range map[string]string{
		"correlationid": e.CorrelationID, "causationid": e.CausationID,
		"traceparent": e.TraceParent, "tracestate": e.TraceState,
	} {
		if value != "" {
			ce.SetExtension(name, value)
		}
	}
	ce.DataEncoded, ce.DataBase64 = bytes.Clone(e.Data), !utf8.Valid(e.Data)
	return ce, ce.Validate()
}

// Envelope returns the envelope of an event of the CloudEvents SDK, with
// memory of its own. Its extension partitionkey is the key, and stays one of
// Extensions; extensions that are no text have CloudEvents' string form. It is
// ready for Bus.PublishEnvelope once its Topic is set.
func Envelope(ce event.Event) (*eventbus.Envelope, error) {
	if err := ce.Validate(); err != nil {
		return nil, err
	}
	e := &eventbus.Envelope{
		ID: ce.ID(), Source: ce.Source(), Type: ce.Type(), Subject: ce.Subject(),
		DataContentType: ce.DataContentType(), DataSchema: ce.DataSchema(), Time: ce.Time(),
		Data: bytes.Clone(ce.Data()),
	}
	extensions := make(map[string]string, len(ce.Extensions()))
	for name, value := range ce.Extensions() {
		text, err := types.Format(value)
		if err != nil {
			return nil, &wire.MalformedError{Attribute: name, Reason: "has no string form", Err: err}
		}
		extensions[strings.ToLower(name)] = text
	}
	for name, to := range map[string]*string{
		"correlationid": &e.CorrelationID, "causationid": &e.CausationID,
		"traceparent": &e.TraceParent, "tracestate": &e.TraceState,
	} {
		*to = extensions[name]
		delete(extensions, name)
	}
	if key, ok := extensions[wire.PartitionKey]; ok {
		e.Key = []byte(key)
	}
	if len(extensions) > 0 {
		e.Extensions = extensions
	}
	if err := wire.Check((*wire.Event)(e)); err != nil {
		return nil, err
	}
	return e, nil
}
