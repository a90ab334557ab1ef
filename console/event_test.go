package console

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// TestEventOfAnotherProgram: a record of a known other program has no problem.
func TestEventOfAnotherProgram(t *testing.T) {
	var e wire.Event
	r := &transport.Record{Topic: "orders", Value: []byte(`{}`), Headers: []transport.Header{
		{Key: "_watermill_message_uuid", Value: []byte("m-1")}, {Key: "name", Value: []byte("OrderPlaced")},
	}}
	if err := readRecord(r, &e); err != nil || e.ID != "m-1" {
		t.Errorf("a message of Watermill's is %q: %v", e.ID, err)
	}
	if r.Headers = nil; readRecord(r, &e) == nil {
		t.Error("a plain record is an event")
	}
}

// TestPlainEvent: a record of a topic in the format plain is an event of the only type that
// a catalogue has on the topic, and is masked accordingly. With two types it is of neither.
func TestPlainEvent(t *testing.T) {
	event := catalog.Event{Type: "order", Schema: []byte(`{"type":"object","properties":{"id":{"type":"string"}}}`)}
	topic := catalog.Topic{Names: map[string]string{"dev": "orders"}, Format: "plain", Events: []catalog.Event{event}}
	known := &catalog.Document{Topics: []catalog.Topic{topic}}
	d := &desk{watch: &watch{}, config: &Config{ShowData: true, Location: time.UTC, Catalog: known}}
	r := &transport.Record{Topic: "orders", Value: []byte(`{"id":"o-1","email":"ann@example.com"}`)}
	if v := d.newEventView(t.Context(), r); v.Problem != "" || !strings.Contains(v.Data, "o-1") || strings.Contains(v.Data, "ann@") {
		t.Errorf("%q is shown, with the problem %q", v.Data, v.Problem)
	}
	topic.Events = []catalog.Event{{Type: "refund"}}
	known.Topics = append(known.Topics, topic)
	if v := d.newEventView(t.Context(), r); v.Problem == "" || v.Data != "" {
		t.Errorf("of a topic with two types %q is shown, with the problem %q", v.Data, v.Problem)
	}
}

// TestDataOfChosenName: data that a registry's schema describes is masked by the catalogue
// too, even if the topic of the letters has a chosen name, which does not show its origin.
func TestDataOfChosenName(t *testing.T) {
	const schema = `{"type":"record","name":"Left","fields":[{"name":"id","type":"string"},{"name":"email","type":"string","x-eventbus-personal":true}]}`
	d := &desk{watch: &watch{}, config: &Config{
		ShowData: true,
		Catalog: &catalog.Document{Topics: []catalog.Topic{{Name: "sales.public.leavers.v1", Events: []catalog.Event{
			{Type: "Left", ContentType: "application/avro", Schema: []byte(schema)},
		}}}},
		Schemas: func(context.Context, *eventbus.Envelope) (*SchemaData, error) {
			text := map[string]any{"type": "string"}
			return &SchemaData{Schema: "1", JSON: []byte(`{"id":"u-1","email":"secret"}`), Fields: map[string]any{"properties": map[string]any{"id": text, "email": text}}}, nil
		},
	}}
	for _, name := range []string{"dev.sales.public.leavers.v1.mailer.dlq", "failures"} {
		e := wire.Event{Topic: name, Type: "Left", Data: []byte("avro"), Headers: []transport.Header{{Key: letter.Topic, Value: []byte("dev.sales.public.leavers.v1")}}}
		if shown, hidden, _ := d.data(t.Context(), &e); !strings.Contains(shown, "u-1") || strings.Contains(shown, "secret") {
			t.Errorf("of %s %s is shown, %q", name, shown, hidden)
		}
	}
}
