package eventbus

import (
	"reflect"
	"strings"
	"testing"
	"time"

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
