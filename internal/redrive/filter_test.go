package redrive

import (
	"testing"

	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/transport"
)

// TestFilterTakesForeignForms: letters of a topic that another program writes are
// chosen by the type and the id that their records have.
func TestFilterTakesForeignForms(t *testing.T) {
	r := &transport.Record{Topic: "orders.g.dlq", Offset: 7, Value: []byte(`{}`), Headers: []transport.Header{
		{Key: "_watermill_message_uuid", Value: []byte("m-1")}, {Key: "name", Value: []byte("OrderPlaced")},
		{Key: letter.Topic, Value: []byte("orders")}, {Key: letter.Reason, Value: []byte("exhausted")},
	}}
	l, err := letter.Read(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		filter Filter
		takes  bool
	}{
		{Filter{Types: []string{"OrderPlaced"}}, true},
		{Filter{Types: []string{"OrderCancelled"}}, false},
		{Filter{IDs: []string{"m-1"}}, true},
		{Filter{IDs: []string{"m-2"}}, false},
	} {
		if got := c.filter.Takes(l, Open); got != c.takes {
			t.Errorf("%+v takes it: %v", c.filter, got)
		}
	}
	if Type(l) != "OrderPlaced" || ID(l) != "m-1" {
		t.Errorf("it is %q %q", Type(l), ID(l))
	}
}
