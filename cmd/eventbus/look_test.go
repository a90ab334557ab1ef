package main

import (
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus/transport"
)

// TestLookForeign: a record that says of itself whose it is has a type and an id.
// Any other is shown with why it is not an event.
func TestLookForeign(t *testing.T) {
	r := &transport.Record{
		Topic: "orders", Value: []byte(`{}`),
		Headers: []transport.Header{{Key: "_watermill_message_uuid", Value: []byte("m-1")}, {Key: "name", Value: []byte("OrderPlaced")}},
	}
	if s := look(r); s.problem != nil || s.event.ID != "m-1" || s.event.Type != "OrderPlaced" {
		t.Errorf("a message of Watermill's is %q %q: %v", s.event.Type, s.event.ID, s.problem)
	}
	if l := look(r).line(); l.Problem != "" || !strings.Contains(string(l.Event), `"id":"m-1"`) {
		t.Errorf("its line is %s, with the problem %q", l.Event, l.Problem)
	}
	r.Headers = nil
	if s := look(r); s.problem == nil {
		t.Error("a plain record is an event")
	}
}
