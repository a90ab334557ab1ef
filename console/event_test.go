package console

import (
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// TestEventOfAnotherProgram: a record that says of itself whose it is has no problem.
func TestEventOfAnotherProgram(t *testing.T) {
	d := &desk{config: &Config{Location: time.UTC}}
	v := d.newEventView(t.Context(), &transport.Record{Topic: "orders", Value: []byte(`{}`), Headers: []transport.Header{
		{Key: "_watermill_message_uuid", Value: []byte("m-1")}, {Key: "name", Value: []byte("OrderPlaced")},
	}})
	if v.Problem != "" || v.ID != "m-1" {
		t.Errorf("a message of Watermill's is %q: %s", v.ID, v.Problem)
	}
	if v = d.newEventView(t.Context(), &transport.Record{Topic: "orders", Value: []byte(`{}`)}); v.Problem == "" {
		t.Error("a plain record is an event")
	}
}
