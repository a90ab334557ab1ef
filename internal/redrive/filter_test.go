package redrive

import (
	"slices"
	"testing"

	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/transport"
)

// TestFilterTakesForeignForms: letters of another program's topic are chosen by the type
// and the id in their records.
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
		if got := c.filter.Takes(l, Open, nil); got != c.takes {
			t.Errorf("%+v takes it: %v", c.filter, got)
		}
	}
	if Type(l) != "OrderPlaced" || ID(l) != "m-1" {
		t.Errorf("it is %q %q", Type(l), ID(l))
	}
}

// TestFilterTakesCauses: a cause chooses the letters that a page lists under it,
// including records that are not dead letters and damaged letters.
func TestFilterTakesCauses(t *testing.T) {
	header := func(key, value string) transport.Header { return transport.Header{Key: key, Value: []byte(value)} }
	sound := []transport.Header{header(letter.Topic, "orders"), header(letter.Reason, "exhausted"), header(letter.Error, "no funds")}
	records := map[string]*transport.Record{
		"sound":   {Topic: "orders.g.dlq", Headers: sound},
		"damaged": {Topic: "orders.g.dlq", Headers: append(sound[:3:3], header(letter.Offset, "x"))},
		"stray":   {Topic: "orders.g.dlq", Value: []byte("x")},
	}
	causes := make(map[string]string)
	for name, r := range records {
		l, foreign := letter.Read(r)
		causes[name], _, _ = CauseOf(l, foreign)
	}
	for name, r := range records {
		l, foreign := letter.Read(r)
		for of, cause := range causes {
			f := Filter{Fingerprints: []string{cause}}
			if takes := f.Takes(l, Open, foreign); takes != (of == name) {
				t.Errorf("the cause of the %s one takes the %s one: %v", of, name, takes)
			}
		}
	}
}

// TestStates: a letter whose decision is not kept may be replayed or skipped.
func TestStates(t *testing.T) {
	l := &ledger{}
	l.Mark(0, Skipped)
	l.Mark(2, Skipped)
	for offset, want := range []State{Decided, Open, Skipped} {
		if s := l.State(int64(offset)); s != want || s.done() != (want != Open) {
			t.Errorf("letter %d is %v, want %v", offset, s, want)
		}
	}
	for s, in := range map[State][]State{Open: {Open}, Replayed: {Replayed}, Skipped: {Skipped}, Quarantined: {Quarantined}, Decided: {Replayed, Skipped}} {
		for of := range Decided {
			if is := slices.Contains(in, of); s.Is(of) != is {
				t.Errorf("%v is %v: %v", s, of, !is)
			}
		}
	}
	if s, ok := StateOf(Decided.String()); ok {
		t.Errorf("%v can be asked for", s)
	}
}
