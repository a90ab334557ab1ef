package cloudevents

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/wire"
)

var errTombstone = errors.New("a tombstone deletes a key, and CloudEvents has no event for that")

// Event converts an envelope to an event of the CloudEvents SDK, with its own memory.
//
// A key that is text becomes the extension partitionkey, unless the event already has that
// extension. Other keys are omitted, and so is what belongs to the record: its position,
// timestamp and headers. Data that is not UTF-8 is marked as binary, so that the SDK's JSON
// encodes it in Base64.
//
// A tombstone is an error: converted to an event without data, it would come back as an event.
// So is an envelope that Bus.PublishEnvelope would refuse.
func Event(e *eventbus.Envelope) (event.Event, error) {
	if e.Tombstone {
		return event.Event{}, errTombstone
	}
	if err := wire.Check((*wire.Event)(e)); err != nil {
		return event.Event{}, err
	}
	ce := event.New(event.CloudEventsVersionV1)
	ce.SetID(e.ID)
	ce.SetSource(e.Source)
	ce.SetType(e.Type)
	// The SDK considers an empty optional attribute invalid.
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
		ce.SetTime(wire.Writable(e.Time)) // the SDK writes any offset, even one that RFC 3339 can't express
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

// Envelope converts an event of the CloudEvents SDK to an envelope, with its own memory. Once
// its Topic is set it is ready for Bus.PublishEnvelope.
//
// The extension partitionkey becomes the key, and stays in Extensions. The extensions
// correlationid, causationid, traceparent and tracestate move to their fields. Extensions that
// are not text get CloudEvents' string form (CloudEvents 1.0.2, section 3, type system): true,
// 5, a time in RFC 3339.
//
// It returns an error if the SDK considers the event invalid, or if the event can't be published.
func Envelope(ce event.Event) (*eventbus.Envelope, error) {
	if err := ce.Validate(); err != nil {
		return nil, err
	}
	e := &eventbus.Envelope{
		ID: ce.ID(), Source: ce.Source(), Type: ce.Type(), Subject: ce.Subject(),
		DataContentType: ce.DataContentType(), DataSchema: ce.DataSchema(), Time: ce.Time(),
		// An event without data gets empty data, since nil would be a tombstone.
		Data: append([]byte{}, ce.Data()...),
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
