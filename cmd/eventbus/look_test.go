package main

import (
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/format"
	"github.com/eventbus-go/eventbus/transport"
)

// TestLookForeign: a record of a known other program has a type and an id. Any other record
// is shown with the reason why it is not an event.
func TestLookForeign(t *testing.T) {
	r := &transport.Record{
		Topic: "orders", Value: []byte(`{}`),
		Headers: []transport.Header{{Key: "_watermill_message_uuid", Value: []byte("m-1")}, {Key: "name", Value: []byte("OrderPlaced")}},
	}
	if s := look(r, nil); s.problem != nil || s.event.ID != "m-1" || s.event.Type != "OrderPlaced" {
		t.Errorf("a message of Watermill's is %q %q: %v", s.event.Type, s.event.ID, s.problem)
	}
	if l := look(r, nil).line(); l.Problem != "" || !strings.Contains(string(l.Event), `"id":"m-1"`) {
		t.Errorf("its line is %s, with the problem %q", l.Event, l.Problem)
	}
	r.Headers = nil
	if s := look(r, nil); s.problem == nil {
		t.Error("a plain record is an event")
	}
}

// TestLookPlain: records of a topic in the format plain don't name their type. A catalogue
// with one type on the topic names it, also in dead letters, and says which fields are
// personal. A record of another kind does not pass for one.
func TestLookPlain(t *testing.T) {
	type order struct {
		ID    string `json:"id"`
		Email string `json:"email" data:"personal"`
	}
	topic := eventbus.NewTopic(eventbus.TopicConfig[order]{Address: "orders-{env}", Format: format.Plain(format.PlainConfig{})})
	d, err := catalog.Of(topic)
	if err != nil {
		t.Fatal(err)
	}
	dead := []transport.Header{{Key: "eventbus-dlq-topic", Value: []byte("orders-dev")}}
	for name, c := range map[string]struct {
		record transport.Record
		typ    string // empty if it is not an event
	}{
		"a record":         {transport.Record{Topic: "orders-dev"}, "order"},
		"a letter":         {transport.Record{Topic: "orders-dev.billing.dlq", Headers: dead}, "order"},
		"a letter by name": {transport.Record{Topic: "dead", Headers: dead}, "order"},
		"another topic":    {transport.Record{Topic: "orders"}, ""},
		"a bad CloudEvent": {transport.Record{Topic: "orders-dev", Headers: []transport.Header{{Key: "ce_type", Value: []byte("order")}}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.record.Value = []byte(`{"id":"o-1","email":"ann@example.com"}`)
			s := look(&c.record, d)
			s.mask(d)
			l := s.line()
			shown := string(l.Event)
			if c.typ == "" {
				if l.Problem == "" || l.Hidden == "" || len(l.Value) > 0 {
					t.Errorf("it is an event: %+v, %s", l, shown)
				}
				return
			}
			if l.Problem != "" || !strings.Contains(shown, `"type":"order"`) || !strings.Contains(shown, `"o-1"`) || strings.Contains(shown, "ann@") {
				t.Errorf("%s, with the problem %q", shown, l.Problem)
			}
		})
	}
}
