package eventbus

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/internal/eventid"
	"github.com/eventbus-go/eventbus/transport"
)

var (
	payments = NewTopic(TopicConfig[paymentProcessed]{Domain: "ecommerce", Name: "order-payment", Plural: true, Version: "v2", DataSchema: "https://schemas.example.com/payment.json"})
	paid     = paymentProcessed{OrderID: "o1", Amount: 12.5}
)

func TestEncode(t *testing.T) {
	t.Parallel()
	before := time.Now()
	e, err := payments.Encode(paid)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.ID) != 36 || e.ID[14] != '7' {
		t.Errorf("id %q is not a UUIDv7", e.ID)
	}
	if e.Time.Before(before.Add(-time.Second)) || e.Time.Location() != time.UTC {
		t.Errorf("time %v", e.Time)
	}
	want := &Envelope{
		ID: e.ID, Time: e.Time, Type: "paymentProcessed", DataContentType: "application/json",
		DataSchema: "https://schemas.example.com/payment.json", Key: []byte("o1"), Data: []byte(`{"orderId":"o1","amount":12.5}`),
	}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("envelope\n%+v\nwant\n%+v", e, want)
	}
	if back, err := payments.Decode(e); err != nil || back != paid {
		t.Errorf("decoded %+v, %v", back, err)
	}
}

func TestPublishOptions(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
	e, err := payments.Encode(paid,
		WithID("e-1"), WithKey("other"), WithSubject("o1"), WithTime(at),
		WithExtension("tenant", "eu"), WithExtension("tenant", "us"), WithExtension("priority1", ""),
		WithCorrelationID("c-1"), WithCausationID("c-0"), WithHeader("X-Request", "1"), WithHeader("X-Request", "2"))
	if err != nil {
		t.Fatal(err)
	}
	want := &Envelope{
		ID: "e-1", Time: at, Type: "paymentProcessed", Subject: "o1", DataContentType: "application/json",
		DataSchema: "https://schemas.example.com/payment.json", CorrelationID: "c-1", CausationID: "c-0",
		Extensions: map[string]string{"tenant": "us", "priority1": ""}, Key: []byte("other"), Data: []byte(`{"orderId":"o1","amount":12.5}`),
		Headers: []transport.Header{{Key: "X-Request", Value: []byte("1")}, {Key: "X-Request", Value: []byte("2")}},
	}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("envelope\n%+v\nwant\n%+v", e, want)
	}
}

// A time in any zone is published in a form of RFC 3339.
func TestWithTimeOfAnyZone(t *testing.T) {
	t.Parallel()
	for name, offset := range map[string]int{"a day": 25 * 3600, "Berlin in 1890": 53*60 + 28, "whole minutes": 2 * 3600} {
		at := time.Date(1890, 1, 15, 10, 30, 0, 0, time.FixedZone(name, offset))
		e, err := payments.Encode(paid, WithTime(at))
		if err != nil {
			t.Fatal(err)
		}
		text, err := e.Time.MarshalText()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var read time.Time
		if err := read.UnmarshalText(text); err != nil || !read.Equal(at) {
			t.Errorf("%s: published as %s, %v", name, text, err)
		}
	}
}

func TestPublishOptionsThatCannotWork(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]PublishOption{
		"WithID: the id is empty":                                   WithID(""),
		"WithID: the value holds a control character":               WithID("a\nb"),
		"WithSubject: the value is not UTF-8":                       WithSubject("\xff"),
		"WithTime: the time is zero":                                WithTime(time.Time{}),
		"years 0 to 9999":                                           WithTime(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)),
		`the name "Tenant" is invalid, use lower-case letters`:      WithExtension("Tenant", "eu"),
		`the name "my-tenant" is invalid`:                           WithExtension("my-tenant", "eu"),
		`the name "" is invalid`:                                    WithExtension("", "eu"),
		"type is an attribute of CloudEvents":                       WithExtension("type", "x"),
		"data is an attribute of CloudEvents":                       WithExtension("data", "x"),
		"WithExtension: the value of x holds a control character":   WithExtension("x", "\x00"),
		"correlationid is set by WithCorrelationID":                 WithExtension("correlationid", "x"),
		"subject is set by WithSubject":                             WithExtension("subject", "x"),
		"traceparent is taken from the context's trace":             WithExtension("traceparent", "x"),
		"partitionkey is the record's key":                          WithExtension("partitionkey", "x"),
		"WithCorrelationID: the value holds":                        WithCorrelationID("\x7f"),
		"WithCausationID: the value holds":                          WithCausationID("\x7f"),
		"WithHeader: the key is empty":                              WithHeader("", "x"),
		`"Content-Type" is written by the bus`:                      WithHeader("Content-Type", "x"),
		`"ce_tenant" is a CloudEvents attribute, use WithExtension`: WithHeader("ce_tenant", "x"),
		`"TraceParent" is written by the bus`:                       WithHeader("TraceParent", "x"),
		`"eventbus-dlq-reason" is written by the bus`:               WithHeader("eventbus-dlq-reason", "x"),
		"WithID: the id is empty\nWithHeader: the key is empty":     both{WithID(""), WithHeader("", "")},
	} {
		e, err := payments.Encode(paid, o)
		if e != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, %v, want %q", e, err, want)
		}
	}
}

type both [2]PublishOption

func (b both) applyPublish(s *publishSettings) { b[0].applyPublish(s); b[1].applyPublish(s) }

// A topic that has keys publishes no event without one by accident.
func TestKeylessEventOfKeyedTopic(t *testing.T) {
	t.Parallel()
	topic := NewTopic(TopicConfig[keyOf[*string]]{Domain: "a", Name: "b", Type: "T"})
	if _, err := topic.Encode(keyOf[*string]{}); err == nil || !strings.Contains(err.Error(), "event of type T has no key: the key field ID is nil: set it, or publish with WithKey") {
		t.Errorf("error %v", err)
	}
	if e, err := topic.Encode(keyOf[*string]{}, WithKey("")); err != nil || e.Key == nil || len(e.Key) != 0 {
		t.Errorf("%v, %v", e, err)
	}
	keyless := NewTopic(TopicConfig[customerCreated]{Domain: "a", Name: "b"})
	if e, err := keyless.Encode(customerCreated{}); err != nil || e.Key != nil {
		t.Errorf("%v, %v", e, err)
	}
}

// Options for an id, a key or a subject belong to one event, so they must not
// compile as options for many.
func TestBatchOptionsAreThoseForMany(t *testing.T) {
	t.Parallel()
	for _, o := range []BatchOption{WithTime(time.Now()), WithExtension("a", "b"), WithCorrelationID("c"), WithCausationID("c"), WithHeader("k", "v")} {
		if _, ok := any(o).(PublishOption); !ok {
			t.Errorf("%T is not a PublishOption", o)
		}
	}
	for _, o := range []PublishOption{WithID("1"), WithKey("k"), WithSubject("s")} {
		if _, ok := any(o).(BatchOption); ok {
			t.Errorf("%T is a BatchOption", o)
		}
	}
}

func TestEventIDsSortByAge(t *testing.T) {
	t.Parallel()
	var ids eventid.Generator
	now, last := time.Now(), ""
	for i := range 10_000 {
		id := ids.Next(now.Add(time.Duration(i) * time.Microsecond))
		if len(id) != 36 || id[14] != '7' || id <= last {
			t.Fatalf("%q after %q", id, last)
		}
		last = id
	}
}
