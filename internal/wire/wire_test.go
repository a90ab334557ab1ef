package wire

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

var when = time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)

// created returns the event that most tests use.
func created() *Event {
	return &Event{
		ID:              "550e8400-e29b-41d4-a716-446655440000",
		Source:          "urn:momentum:sales-api",
		Type:            "CustomerCreated",
		DataContentType: "application/json",
		Time:            when,
		Data:            []byte(`{"customerId":"123e4567-e89b-12d3-a456-426614174000","name":"John Doe"}`),
		Topic:           "dev.sales.public.customers.v1",
		Partition:       transport.AnyPartition,
		Key:             []byte("123e4567"),
	}
}

func headers(pairs ...string) []transport.Header {
	var hs []transport.Header
	for i := 0; i < len(pairs); i += 2 {
		hs = append(hs, transport.Header{Key: pairs[i], Value: []byte(pairs[i+1])})
	}
	return hs
}

// pairs is the inverse of headers.
func pairs(hs []transport.Header) []string {
	var ps []string
	for _, h := range hs {
		ps = append(ps, h.Key, string(h.Value))
	}
	return ps
}

var minimal = []string{"ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "T"}

// binary returns a record with the minimal headers and more.
func binary(more ...string) *transport.Record {
	return &transport.Record{Topic: "t", Value: []byte("{}"), Headers: headers(append(append([]string{}, minimal...), more...)...)}
}

func structuredRecord(json string) *transport.Record {
	return &transport.Record{Topic: "t", Value: []byte(json), Headers: headers("content-type", "application/cloudevents+json; charset=UTF-8")}
}

// roundTrips are changes to an event that must survive writing and reading.
var roundTrips = map[string]func(*Event){
	"as it is":         func(*Event) {},
	"no time":          func(e *Event) { e.Time = time.Time{} },
	"offset of a day":  func(e *Event) { e.Time = when.In(time.FixedZone("", 25*3600)) },
	"Berlin in 1890":   func(e *Event) { e.Time = time.Date(1890, 1, 1, 0, 0, 0, 0, time.FixedZone("LMT", 53*60+28)) },
	"half a surrogate": func(e *Event) { e.Data = []byte(`{"a":"\ud800"}`) },
	"nanoseconds":      func(e *Event) { e.Time = when.Add(123456789) },
	"another zone":     func(e *Event) { e.Time = when.In(time.FixedZone("", 2*3600)) },
	"every attribute":  everyAttribute,
	"empty key":        func(e *Event) { e.Key = []byte{} },
	"no key":           func(e *Event) { e.Key = nil },
	"empty extension":  func(e *Event) { e.Extensions = map[string]string{"note": ""} },
	"plain headers":    func(e *Event) { e.Headers = headers("traceparent", "00-ab-cd-01", "tenant", "7", "tenant", "8") },
	"unicode":          func(e *Event) { e.Subject = "Zoë ☂ \"x\" \\" },
	"Protobuf":         func(e *Event) { e.DataContentType, e.Data = "application/protobuf", []byte{0, 0xff, 8, 1} },
	"plain text":       func(e *Event) { e.DataContentType, e.Data = "text/plain", []byte("say \"hi\"\n☂") },
	"Latin-1":          func(e *Event) { e.DataContentType, e.Data = "text/plain; charset=latin1", []byte{0xe9} },
	"JSON with suffix": func(e *Event) { e.DataContentType = "application/vnd.sales+json; v=1" },
	"JSON null":        func(e *Event) { e.Data = []byte("null") },
	"JSON text":        func(e *Event) { e.Data = []byte(`"{}"`) },
	"JSON as it came":  func(e *Event) { e.Data = []byte("{ \"b\" : 1.0,\n\"a\":1e2, \"a\":\"\\u003c\" }") },
	"broken JSON":      func(e *Event) { e.Data = []byte(`{"a":`) },
	"not UTF-8 JSON":   func(e *Event) { e.Data = []byte("\"\xff\"") },
	"tombstone":        func(e *Event) { e.Data, e.Tombstone = nil, true },
	"empty data":       func(e *Event) { e.Data = []byte{} },
}

func everyAttribute(e *Event) {
	e.Subject, e.DataSchema = "123e4567", "https://schemas.example.com/customer.json"
	e.CorrelationID, e.CausationID = "c-1", "c-0"
	e.TraceParent, e.TraceState = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=1"
	e.Extensions = map[string]string{"tenant": "eu", "region": "north", "partitionkey": "other"}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	modes := map[string]func(*Encoder, *Event, *transport.Record) error{
		"binary":     func(e *Encoder, ev *Event, rec *transport.Record) error { e.Binary(ev, rec); return nil },
		"structured": (*Encoder).Structured,
	}
	for mode, encode := range modes {
		var encoder Encoder // one for all: what it keeps must not leak into the next event
		for name, change := range roundTrips {
			t.Run(mode+"/"+name, func(t *testing.T) {
				want := created()
				change(want)
				if err := Check(want); err != nil {
					t.Fatal(err)
				}
				var rec transport.Record
				if err := encode(&encoder, want, &rec); err != nil {
					t.Fatal(err)
				}
				var got Event
				if err := Decode(&rec, &got); err != nil {
					t.Fatal(err)
				}
				if !got.Time.Equal(want.Time) {
					t.Fatalf("time %v, want %v", got.Time, want.Time)
				}
				got.Time = want.Time // in whatever zone
				if !reflect.DeepEqual(&got, want) {
					t.Errorf("read back\n%+v\nwant\n%+v", &got, want)
				}
				if typ, ok := Type(&rec); !ok || typ != want.Type {
					t.Errorf("Type = %q, %v", typ, ok)
				}
			})
		}
	}
}

func TestBinaryHeaders(t *testing.T) {
	t.Parallel()
	ev := created()
	everyAttribute(ev)
	ev.Headers = headers("tenant", "7")
	var rec transport.Record
	new(Encoder).Binary(ev, &rec)
	want := []string{
		"ce_specversion", "1.0",
		"ce_id", "550e8400-e29b-41d4-a716-446655440000",
		"ce_source", "urn:momentum:sales-api",
		"ce_type", "CustomerCreated",
		"ce_time", "2024-01-15T10:30:00Z",
		"content-type", "application/json",
		"ce_dataschema", "https://schemas.example.com/customer.json",
		"ce_subject", "123e4567",
		"ce_correlationid", "c-1",
		"ce_causationid", "c-0",
		"ce_traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"ce_tracestate", "a=1",
		"ce_partitionkey", "other",
		"ce_region", "north",
		"ce_tenant", "eu",
		"tenant", "7",
	}
	if got := pairs(rec.Headers); !reflect.DeepEqual(got, want) {
		t.Errorf("headers\n%q\nwant\n%q", got, want)
	}
	if rec.Topic != ev.Topic || rec.Partition != transport.AnyPartition || string(rec.Key) != "123e4567" || !rec.Time.IsZero() {
		t.Errorf("record %+v", rec)
	}
}

func TestKeyFromPartitionKey(t *testing.T) {
	t.Parallel()
	ev := created()
	ev.Key, ev.Extensions = nil, map[string]string{"partitionkey": "k"}
	var rec transport.Record
	new(Encoder).Binary(ev, &rec)
	if string(rec.Key) != "k" {
		t.Errorf("key %q, want the extension's", rec.Key)
	}
	if v, _ := rec.Header("ce_partitionkey"); string(v) != "k" {
		t.Error("the extension left the event")
	}
	ev.Key = []byte{}
	if new(Encoder).Binary(ev, &rec); rec.Key == nil || len(rec.Key) != 0 {
		t.Errorf("key %q, want the empty key", rec.Key)
	}
}

// An event without data must not turn into a deletion of its key.
func TestNoDataIsNoTombstone(t *testing.T) {
	t.Parallel()
	ev := created()
	ev.Data = nil
	var rec transport.Record
	new(Encoder).Binary(ev, &rec)
	if rec.Value == nil {
		t.Error("the record has no value")
	}
	if err := new(Encoder).Structured(ev, &rec); err != nil || strings.Contains(string(rec.Value), "data\"") {
		t.Errorf("%s, %v", rec.Value, err)
	}
	var got Event
	if err := Decode(&rec, &got); err != nil || got.Data == nil || len(got.Data) > 0 || got.Tombstone {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Event)
		want   string
	}{
		"no id":             {func(e *Event) { e.ID = "" }, `"id" is required`},
		"no source":         {func(e *Event) { e.Source = "" }, `"source" is required`},
		"no type":           {func(e *Event) { e.Type = "" }, `"type" is required`},
		"source":            {func(e *Event) { e.Source = "/a\x00" }, `"source" holds a control character`},
		"newline":           {func(e *Event) { e.Subject = "a\nb" }, `"subject" holds a control character`},
		"C1 control":        {func(e *Event) { e.Subject = "a\u0085b" }, `"subject" holds a control character`},
		"not UTF-8":         {func(e *Event) { e.TraceState = "\xff" }, `"tracestate" is not UTF-8`},
		"noncharacter":      {func(e *Event) { e.ID = "\ufffe" }, `"id" holds a code point`},
		"noncharacter 2":    {func(e *Event) { e.ID = "\U0001ffff" }, `"id" holds a code point`},
		"extension name":    {func(e *Event) { e.Extensions = map[string]string{"Tenant": "a"} }, `"Tenant" has an invalid name`},
		"empty name":        {func(e *Event) { e.Extensions = map[string]string{"": "a"} }, "invalid name"},
		"reserved name":     {func(e *Event) { e.Extensions = map[string]string{"subject": "a"} }, `"subject" is not an extension`},
		"data as extension": {func(e *Event) { e.Extensions = map[string]string{"data": "a"} }, `"data" is not an extension`},
		"extension value":   {func(e *Event) { e.Extensions = map[string]string{"a": "\x00"} }, `"a" holds a control character`},
		"year":              {func(e *Event) { e.Time = e.Time.AddDate(9000, 0, 0) }, "years 0 to 9999"},
		"source URI":        {func(e *Event) { e.Source = "%zz" }, `"source" is not a URI-reference (RFC 3986): "%zz"`},
		"source with space": {func(e *Event) { e.Source = "urn:sales api" }, `"source" is not a URI-reference`},
		"source in Unicode": {func(e *Event) { e.Source = "urn:müller" }, `"source" is not a URI-reference`},
		"schema":            {func(e *Event) { e.DataSchema = "/relative" }, `"dataschema" is not an absolute URI`},
		"content type":      {func(e *Event) { e.DataContentType = "json" }, `"datacontenttype" is not a media type`},
		"content type %zz":  {func(e *Event) { e.DataContentType = "%zz" }, `"datacontenttype" is not a media type`},
		"event as data":     {func(e *Event) { e.DataContentType = "Application/CloudEvents+json" }, "is an event format"},
	} {
		t.Run(name, func(t *testing.T) {
			ev := created()
			c.change(ev)
			var encoder Encoder
			if err := encoder.Check(created()); err != nil {
				t.Fatal(err)
			}
			for _, err := range []error{Check(ev), encoder.Check(ev), encoder.Check(ev)} {
				var malformed *MalformedError
				if !errors.As(err, &malformed) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("Check: %v, want %q", err, c.want)
				}
			}
		})
	}
	if err := Check(created()); err != nil {
		t.Error(err)
	}
}
