package cloudevents_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	sdk "github.com/cloudevents/sdk-go/v2/event"
	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/cloudevents"
	"github.com/eventbus-go/eventbus/transport"
)

func fullEnvelope() *eventbus.Envelope {
	return &eventbus.Envelope{
		ID: "550e8400-e29b-41d4-a716-446655440000", Source: "urn:momentum:sales-api", Type: "CustomerCreated", Subject: "s",
		DataContentType: "application/json", DataSchema: "https://schemas.example.com/c.json", Time: time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC),
		CorrelationID: "c-1", CausationID: "c-0", TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", TraceState: "a=1",
		Extensions: map[string]string{"tenant": "eu", "partitionkey": "k"}, Data: []byte(`{"secret":"1"}`), Topic: "dev.sales.public.customers.v1",
		Partition: 2, Offset: 7, Key: []byte("k"), Timestamp: time.UnixMilli(5), Headers: []transport.Header{{Key: "h", Value: []byte("v")}},
		AssignmentEpoch: 3, Redeliveries: 1, Origin: transport.Position{Partition: transport.Partition{Topic: "t"}, Offset: 6},
	}
}

func TestCloudEventRoundTrip(t *testing.T) {
	t.Parallel()
	e := fullEnvelope()
	ce, err := cloudevents.Event(e)
	if err != nil {
		t.Fatal(err)
	}
	got, err := cloudevents.Envelope(ce)
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
		ce, err := cloudevents.Event(e)
		if got := ce.Extensions()["partitionkey"]; err != nil || got != c.want {
			t.Errorf("%s: partitionkey %v, %v", name, got, err)
		}
	}
}

func TestCloudEventsThatCannotBe(t *testing.T) {
	t.Parallel()
	e := fullEnvelope()
	e.Source = ""
	if _, err := cloudevents.Event(e); err == nil || !strings.Contains(err.Error(), `"source" is required`) {
		t.Errorf("without a source: %v", err)
	}
	if _, err := cloudevents.Event(&eventbus.Envelope{Tombstone: true, Key: []byte("k")}); err == nil || !strings.Contains(err.Error(), "tombstone") {
		t.Errorf("a tombstone: %v", err)
	}
	if got, err := cloudevents.Envelope(sdk.New()); got != nil || err == nil {
		t.Errorf("from an empty event: %v, %v", got, err)
	}
}

// An event without data stays one, and a time keeps its instant, whatever its offset.
func TestCloudEventWithoutDataAndWithAnOddTime(t *testing.T) {
	t.Parallel()
	e := fullEnvelope()
	e.Data, e.Time = nil, time.Date(1890, 1, 1, 0, 0, 0, 0, time.FixedZone("LMT", 53*60+28))
	ce, err := cloudevents.Event(e)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(ce)
	if err != nil {
		t.Fatal(err)
	}
	var read sdk.Event
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	back, err := cloudevents.Envelope(read)
	if err != nil || back.Data == nil || len(back.Data) != 0 || back.Tombstone || !back.Time.Equal(e.Time) {
		t.Errorf("came back as %+v, %v", back, err)
	}
}

// The documented event is converted as the SDK reads it, with typed extensions.
func TestEnvelope(t *testing.T) {
	t.Parallel()
	var ce sdk.Event
	err := json.Unmarshal([]byte(`{"specversion":"1.0","type":"CustomerCreated","source":"urn:momentum:sales-api","id":"1","time":"2024-01-15T10:30:00Z",
		"datacontenttype":"application/json","attempt":5,"late":true,"correlationid":"c","data":{"name":"John Doe"}}`), &ce)
	if err != nil {
		t.Fatal(err)
	}
	e, err := cloudevents.Envelope(ce)
	if err != nil {
		t.Fatal(err)
	}
	want := &eventbus.Envelope{
		ID: "1", Source: "urn:momentum:sales-api", Type: "CustomerCreated", DataContentType: "application/json", Time: time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC),
		CorrelationID: "c", Extensions: map[string]string{"attempt": "5", "late": "true"}, Data: []byte(`{"name":"John Doe"}`),
	}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("envelope\n%+v\nwant\n%+v", e, want)
	}
}
