package eventbus_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// several returns declarations of types A and B on one topic.
func several() (a, b *eventbus.Topic[order]) {
	topic := func(typ string) *eventbus.Topic[order] {
		return eventbus.NewTopic(eventbus.TopicConfig[order]{Domain: "sales", Name: "order", Plural: true, Partitions: 1, Type: typ, Key: func(o order) string { return o.ID }})
	}
	return topic("A"), topic("B")
}

// publishSeveral publishes an event of type A, one of B and a tombstone.
func publishSeveral(t *testing.T, bus *eventbus.Bus, a, b *eventbus.Topic[order]) {
	must(t, eventbus.NewPublisher(bus, a).Publish(t.Context(), order{ID: "k", Seq: 1}))
	must(t, eventbus.NewPublisher(bus, b).Publish(t.Context(), order{ID: "k", Seq: 2}))
	must(t, eventbus.NewPublisher(bus, b).Delete(t.Context(), "k"))
}

// TestOnAny: a handler of any event gets the events without another handler in its
// group, tombstones included, and all events if it is alone in its group. No type is
// unknown then.
func TestOnAny(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus := newBus(t, cluster, config())
		a, b := several()
		var rest, audit, batches, typed story
		note := func(s *story) func(context.Context, *eventbus.Envelope) error {
			return func(ctx context.Context, e *eventbus.Envelope) error {
				if e.Tombstone {
					s.add("-%s", e.Key)
					return nil
				}
				if own, ok := eventbus.EnvelopeFrom(ctx); !ok || own != e {
					t.Error("the envelope is not the context's")
				}
				s.add("%s", e.Type)
				return nil
			}
		}
		must(t, bus.Add(
			eventbus.On(a, func(context.Context, order) error { typed.add("A"); return nil }, eventbus.WhenUnknown(eventbus.FailUnknown)),
			eventbus.OnAny(a, note(&rest)),
			eventbus.OnAny(b, note(&audit), eventbus.Group("audit")),
			eventbus.OnAnyBatch(b, func(_ context.Context, events []*eventbus.Envelope) error {
				for _, e := range events {
					batches.add("%s%t", e.Type, e.Tombstone)
				}
				return nil
			}, eventbus.Group("batches")),
			eventbus.OnDelete(a, func(context.Context, string) error { return nil }, eventbus.Group("audit"))))
		if err := bus.Add(eventbus.OnAny(b, note(&rest))); err == nil || !strings.Contains(err.Error(), "handles sales.public.orders.v1 any already") {
			t.Errorf("a second one in a group: %v", err)
		}
		start(t, bus)
		publishSeveral(t, bus, a, b)
		pass(time.Minute)
		for what, got := range map[string]string{
			typed.String(): "A", rest.String(): "B -k", audit.String(): "A B", batches.String(): "Afalse Bfalse Btrue",
		} {
			if what != got {
				t.Errorf("handled %q, want %q", what, got)
			}
		}
		for _, g := range bus.Operator().Inspect().Groups {
			if g.Name == "test" && !slices.ContainsFunc(g.Subscriptions, func(s eventbus.SubscriptionInspection) bool { return s.Type == "*" }) {
				t.Errorf("the inspection has %v", g.Subscriptions)
			}
		}
		closeBus(t, bus)
	})
}

// TestOnAnyFails: an event that a handler of any event gives up becomes a dead letter,
// and a replay passes it every event.
func TestOnAnyFails(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus := newBus(t, cluster, config())
		a, b := several()
		s := eventbus.OnAny(a, func(context.Context, *eventbus.Envelope) error { return eventbus.Permanent(errors.New("no")) })
		must(t, bus.Add(s))
		start(t, bus)
		publishSeveral(t, bus, a, b)
		pass(time.Minute)
		if got := letters(cluster, "test.sales.public.orders.v1.sales-api-test.dlq"); len(got) != 3 {
			t.Errorf("dead letters %v", got)
		}
		n := 0
		again := eventbus.OnAny(a, func(context.Context, *eventbus.Envelope) error { n++; return nil })
		report, err := bus.Operator().Replay(t.Context(), eventbus.ReplayConfig{}, again)
		if err != nil || n != 3 {
			t.Errorf("the replay handed over %d events, %v: %+v", n, err, report)
		}
		n = 0
		if _, err := bus.Operator().Replay(t.Context(), eventbus.ReplayConfig{Types: []string{"B"}}, again); err != nil || n != 1 {
			t.Errorf("the replay of B handed over %d events, %v", n, err)
		}
		closeBus(t, bus)
	})
}

// TestOnAnyIsKnownToItsGroup: an event of a type that this member does not know is not
// skipped, but held for the member that handles any.
func TestOnAnyIsKnownToItsGroup(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		older, newer := newBus(t, cluster, config()), newBus(t, cluster, config())
		a, b := several()
		var s story
		must(t, older.Add(eventbus.On(a, func(context.Context, order) error { return nil })))
		must(t, newer.Add(eventbus.OnAny(a, func(_ context.Context, e *eventbus.Envelope) error { s.add("%.1s", e.Type); return nil })))
		start(t, older)
		pass(time.Second) // it has the one partition
		start(t, newer)
		pass(time.Second)
		must(t, eventbus.NewPublisher(older, b).Publish(t.Context(), order{ID: "k"}))
		// A type longer than any that is declared.
		raw(t, cluster, foreignRecord(b.In("Test"), false, "{}", "type", strings.Repeat("c", 300)))
		pass(time.Minute)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		must(t, older.Drain(ctx))
		pass(time.Minute)
		if got := s.String(); got != "B c" {
			t.Errorf("the member that handles any handled %q", got)
		}
		closeBus(t, newer)
		closeBus(t, older)
	})
}

// TestOnAnyNil: a nil topic or handler is an error of Add, and so is a topic with the
// type that stands for any.
func TestOnAnyNil(t *testing.T) {
	bus := newBus(t, memory.New(), config())
	defer closeBus(t, bus)
	var unset *eventbus.Topic[order]
	handler := func(context.Context, *eventbus.Envelope) error { return nil }
	for want, s := range map[string]eventbus.Subscription{
		"the topic is nil: a subscription of any event": eventbus.OnAny(nil, handler),
		"the topic is nil": eventbus.OnAny(unset, handler),
		"has no handler":   eventbus.OnAny(orders(t), nil),
	} {
		if err := bus.Add(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	defer func() {
		if v, _ := recover().(string); !strings.Contains(v, `Type is "*"`) {
			t.Errorf("a topic of type *: %v", v)
		}
	}()
	eventbus.NewTopic(eventbus.TopicConfig[order]{Domain: "a", Name: "b", Type: "*", Unkeyed: true})
}

// blob is a named type of bytes.
type blob []byte

// TestBytes: bytes arrive unchanged, in memory that the handler owns; other types are
// refused when the topic is declared.
func TestBytes(t *testing.T) {
	topic := eventbus.NewTopic(eventbus.TopicConfig[[]byte]{Domain: "a", Name: "b", Type: "raw", Unkeyed: true, Codec: eventbus.Bytes()})
	named := eventbus.NewTopic(eventbus.TopicConfig[blob]{Domain: "a", Name: "b", Unkeyed: true, Codec: eventbus.Bytes()})
	for _, data := range [][]byte{[]byte("\x00\xffx"), {}, nil} {
		e, err := topic.Encode(data)
		must(t, err)
		of, err := named.Encode(blob(data))
		must(t, err)
		if string(e.Data) != string(data) || e.Data == nil || string(of.Data) != string(data) || e.Tombstone || e.DataContentType != "application/octet-stream" {
			t.Fatalf("%q became %v with the data %q and %q", data, e, e.Data, of.Data)
		}
		got, err := topic.Decode(e)
		must(t, err)
		same, err := named.Decode(e)
		must(t, err)
		for i := range e.Data {
			e.Data[i] = '-' // as when the memory is reused
		}
		if string(got) != string(data) || string(same) != string(data) || got == nil {
			t.Errorf("%q came back as %q and %q", data, got, same)
		}
	}
	defer func() {
		if v, _ := recover().(string); !strings.Contains(v, "Codec is Bytes and eventbus_test.order is no []byte") {
			t.Errorf("a topic of another type: %v", v)
		}
	}()
	eventbus.NewTopic(eventbus.TopicConfig[order]{Domain: "a", Name: "b", Unkeyed: true, Codec: eventbus.Bytes()})
}

// TestUpcastBatch: only events that can't be converted are dead-lettered, and what the
// handler reports about single events applies to the right ones.
func TestUpcastBatch(t *testing.T) {
	odd := errors.New("odd")
	convert := func(o order) (charge, error) {
		if o.Seq%2 == 1 {
			return charge{}, odd
		}
		return charge{ID: o.ID}, nil
	}
	var handled []string
	s := eventbus.OnBatch(orders(t), eventbus.UpcastBatch(convert, func(ctx context.Context, batch []charge) error {
		d, _ := eventbus.DeliveryFrom(ctx)
		for i, c := range batch {
			handled = append(handled, c.ID+d.Events[i].ID)
		}
		return &eventbus.BatchError{Errors: map[int]error{1: odd}}
	}))
	var events []*eventbus.Envelope
	for i, data := range []string{`{"id":"a","seq":0}`, `{"id":"b","seq":1}`, `{"id":"c","seq":2}`, `broken`} {
		events = append(events, &eventbus.Envelope{ID: string(rune('0' + i)), Source: "s", Data: []byte(data)})
	}
	err := s.Handle(t.Context(), events...)
	var failed *eventbus.BatchError
	if !errors.As(err, &failed) || failed.Of(0) != nil || !strings.Contains(failed.Of(1).Error(), "upcast: odd") || !errors.Is(failed.Of(2), odd) || failed.Of(3) == nil {
		t.Errorf("the error is %v", err)
	}
	if !slices.Equal(handled, []string{"a0", "c2"}) {
		t.Errorf("handled %v", handled)
	}
	if err := s.Handle(t.Context(), events[1]); err == nil || err.Error() != "upcast: odd" {
		t.Errorf("one alone: %v", err)
	}
}
