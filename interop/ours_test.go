//go:build integration

package interop

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
)

var ours = CustomerCreated{CustomerID: "c-9", Name: "Åsa"}

// ourAttributes are all attributes that our published event should have, by
// CloudEvents' names.
var ourAttributes = map[string]string{
	"specversion":     "1.0",
	"id":              "o-1",
	"source":          "urn:interop",
	"type":            "CustomerCreated",
	"subject":         "customers/c-9",
	"time":            happens.Format(time.RFC3339Nano),
	"datacontenttype": "application/json",
	"correlationid":   "story-2",
	"tenant":          "t-1",
}

// published returns a cluster with one event of ours.
func published(t *testing.T, config eventbus.Config) *cluster {
	t.Helper()
	c := newCluster(t, config)
	err := eventbus.NewPublisher(c.bus, customers).PublishWith(deadline(t), ours,
		eventbus.WithID("o-1"), eventbus.WithSubject("customers/c-9"), eventbus.WithTime(happens),
		eventbus.WithCorrelationID("story-2"), eventbus.WithExtension("tenant", "t-1"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestKcatReadsBinary tests promise 8, header by header.
func TestKcatReadsBinary(t *testing.T) {
	needKcat(t)
	records := kcatRead(t, published(t, eventbus.Config{}))
	if len(records) != 1 {
		t.Fatalf("kcat reads %d records, want 1: %v", len(records), records)
	}
	checkBinary(t, records[0])
}

// TestJavaReadsBinary reads the same with Kafka's own console consumer.
func TestJavaReadsBinary(t *testing.T) {
	needJava(t)
	records := javaRead(t, published(t, eventbus.Config{}), 1)
	if len(records) != 1 {
		t.Fatalf("Java reads %d records, want 1: %v", len(records), records)
	}
	checkBinary(t, records[0])
}

// checkBinary checks that a record is our event in binary mode: these headers, each
// once, and no others.
func checkBinary(t *testing.T, r record) {
	t.Helper()
	want := map[string]string{}
	for name, value := range ourAttributes {
		want["ce_"+name] = value
	}
	delete(want, "ce_datacontenttype")
	want["content-type"] = ourAttributes["datacontenttype"]
	for _, h := range r.headers {
		if value, ok := want[h[0]]; !ok || value != h[1] {
			t.Errorf("header %s is %q, want %q (once, and as said by the binding)", h[0], h[1], value)
		}
		delete(want, h[0])
	}
	for name := range want {
		t.Errorf("header %s is missing", name)
	}
	if r.key != "c-9" {
		t.Errorf("the key is %q, want %q", r.key, "c-9")
	}
	if want := encoded(t, ours); r.value != want {
		t.Errorf("the value is %s, want %s", r.value, want)
	}
}

func TestKcatReadsStructured(t *testing.T) {
	needKcat(t)
	records := kcatRead(t, published(t, eventbus.Config{Structured: true}))
	if len(records) != 1 {
		t.Fatalf("kcat reads %d records, want 1: %v", len(records), records)
	}
	r := records[0]
	if want := [][2]string{{"content-type", "application/cloudevents+json; charset=UTF-8"}}; !slices.Equal(r.headers, want) {
		t.Errorf("the headers are %v, want %v", r.headers, want)
	}
	var document struct{ Data CustomerCreated }
	attributes := map[string]any{}
	for _, into := range []any{&document, &attributes} {
		if err := json.Unmarshal([]byte(r.value), into); err != nil {
			t.Fatalf("the value %s is not a JSON object: %v", r.value, err)
		}
	}
	if document.Data != ours {
		t.Errorf("data is %+v, want %+v", document.Data, ours)
	}
	delete(attributes, "data")
	want := map[string]any{}
	for name, value := range ourAttributes {
		want[name] = value
	}
	if !maps.Equal(attributes, want) {
		t.Errorf("the attributes are %v, want %v", attributes, want)
	}
	if r.key != "c-9" {
		t.Errorf("the key is %q, want %q", r.key, "c-9")
	}
}

// TestPythonReads lets Python's cloudevents package detect the mode, as its users
// do, and compares the result.
func TestPythonReads(t *testing.T) {
	needPython(t)
	for mode, config := range map[string]eventbus.Config{"binary": {}, "structured": {Structured: true}} {
		t.Run(mode, func(t *testing.T) {
			events := pythonRead(t, published(t, config), 1)
			if len(events) != 1 {
				t.Fatalf("Python reads %d events, want 1", len(events))
			}
			got := events[0]
			if got.Mode != mode || got.Data != ours || got.Key != "c-9" {
				t.Errorf("Python reads mode %s, key %q, data %+v; want %s, %q, %+v", got.Mode, got.Key, got.Data, mode, "c-9", ours)
			}
			want := maps.Clone(ourAttributes)
			want["partitionkey"] = "c-9" // the package sets it from the key
			want["time"] = happens.Format("2006-01-02T15:04:05.000000-07:00")
			if !maps.Equal(got.Attributes, want) {
				t.Errorf("the attributes are %v, want %v", got.Attributes, want)
			}
		})
	}
}
