package eventbus

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"github.com/eventbus-go/eventbus/transport"
)

func fullEnvelope() *Envelope {
	return &Envelope{
		ID: "550e8400-e29b-41d4-a716-446655440000", Source: "urn:momentum:sales-api", Type: "CustomerCreated", Subject: "s",
		DataContentType: "application/json", DataSchema: "https://schemas.example.com/c.json", Time: time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC),
		CorrelationID: "c-1", CausationID: "c-0", TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", TraceState: "a=1",
		Extensions: map[string]string{"tenant": "eu", "partitionkey": "k"}, Data: []byte(`{"secret":"1"}`), Topic: "dev.sales.public.customers.v1",
		Partition: 2, Offset: 7, Key: []byte("k"), Timestamp: time.UnixMilli(5), Headers: []transport.Header{{Key: "h", Value: []byte("v")}},
		AssignmentEpoch: 3, Redeliveries: 1, Origin: transport.Position{Partition: transport.Partition{Topic: "t"}, Offset: 6},
	}
}

func TestEnvelopeClone(t *testing.T) {
	t.Parallel()
	e := fullEnvelope()
	c := e.Clone()
	if !reflect.DeepEqual(c, e) {
		t.Fatalf("clone %+v", c)
	}
	e.Data[0], e.Key[0], e.Headers[0].Value[0] = '#', '#', '#'
	e.Headers[0].Key, e.Extensions["tenant"] = "#", "#"
	if want := fullEnvelope(); !reflect.DeepEqual(c, want) {
		t.Errorf("the clone shares memory: %+v", c)
	}
	if empty := (&Envelope{Key: []byte{}}).Clone(); empty.Key == nil || empty.Data != nil || empty.Headers != nil || empty.Extensions != nil {
		t.Errorf("clone of an empty envelope: %+v", empty)
	}
}

func TestEnvelopeString(t *testing.T) {
	t.Parallel()
	s := fullEnvelope().String()
	if s != `CustomerCreated "550e8400-e29b-41d4-a716-446655440000" from "urn:momentum:sales-api" at dev.sales.public.customers.v1/2@7 (14 bytes)` {
		t.Error(s)
	}
	if s := (&Envelope{Tombstone: true, Topic: "t"}).String(); !strings.HasPrefix(s, "tombstone") {
		t.Error(s)
	}
}

func TestCloudEventRoundTrip(t *testing.T) {
	t.Parallel()
	e := fullEnvelope()
	ce, err := e.ToCloudEvent()
	if err != nil {
		t.Fatal(err)
	}
	got, err := FromCloudEvent(ce)
	if err != nil {
		t.Fatal(err)
	}
	want := fullEnvelope()
	want.Topic, want.Partition, want.Offset, want.Timestamp, want.Headers = "", 0, 0, time.Time{}, nil
	want.AssignmentEpoch, want.Redeliveries, want.Origin = 0, 0, transport.Position{}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("came back as\n%+v\nwant\n%+v", got, want)
	}
	e.Data[2] = '#'
	if string(ce.Data()) != `{"secret":"1"}` {
		t.Error("the CloudEvent shares the envelope's memory")
	}
}

func TestCloudEventKey(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key  []byte
		want any
	}{
		"text": {[]byte("k"), "k"}, "none": {nil, nil}, "empty": {[]byte{}, nil}, "bytes": {[]byte{0xff}, nil},
	} {
		e := fullEnvelope()
		e.Key, e.Extensions = c.key, nil
		ce, err := e.ToCloudEvent()
		if got := ce.Extensions()["partitionkey"]; err != nil || got != c.want {
			t.Errorf("%s: partitionkey %v, %v", name, got, err)
		}
	}
}

func TestCloudEventsThatCannotBe(t *testing.T) {
	t.Parallel()
	e := fullEnvelope()
	e.Source = ""
	if _, err := e.ToCloudEvent(); err == nil || !strings.Contains(err.Error(), `"source" is required`) {
		t.Errorf("without a source: %v", err)
	}
	if got, err := FromCloudEvent(cloudevents.New()); got != nil || err == nil {
		t.Errorf("from an empty event: %v, %v", got, err)
	}
}

// The SDK's own reading of the documented event, with typed extensions.
func TestFromCloudEvent(t *testing.T) {
	t.Parallel()
	var ce cloudevents.Event
	err := json.Unmarshal([]byte(`{"specversion":"1.0","type":"CustomerCreated","source":"urn:momentum:sales-api","id":"1","time":"2024-01-15T10:30:00Z",
		"datacontenttype":"application/json","attempt":5,"late":true,"correlationid":"c","data":{"name":"John Doe"}}`), &ce)
	if err != nil {
		t.Fatal(err)
	}
	e, err := FromCloudEvent(ce)
	if err != nil {
		t.Fatal(err)
	}
	want := &Envelope{
		ID: "1", Source: "urn:momentum:sales-api", Type: "CustomerCreated", DataContentType: "application/json", Time: time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC),
		CorrelationID: "c", Extensions: map[string]string{"attempt": "5", "late": "true"}, Data: []byte(`{"name":"John Doe"}`),
	}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("envelope\n%+v\nwant\n%+v", e, want)
	}
}
