package console

import (
	"testing"

	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// TestEventOfAnotherProgram: a record that says of itself whose it is has no problem.
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
