package eventbus_test

import (
	"context"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// TestContextOutlivesItsHandler: a handler's context may be kept and published
// with. It has no data of another attempt, and published events belong to the
// conversation of the event that the handler got.
func TestContextOutlivesItsHandler(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		kept := make(chan context.Context, 2)
		if err := eventbus.Subscribe(bus, topic, func(ctx context.Context, o order) error {
			if o.ID == "a" {
				kept <- context.WithoutCancel(ctx)
			}
			return nil
		}, eventbus.Concurrency(1)); err != nil {
			t.Fatal(err)
		}
		p := eventbus.NewPublisher(bus, topic)
		late := eventbus.NewPublisher(bus, eventbus.NewTopic(eventbus.TopicConfig[order]{Domain: "sales", Name: "late"}))
		start(t, bus)
		for _, id := range []string{"a", "b"} {
			if err := p.PublishWith(t.Context(), order{ID: id}, eventbus.WithID("event-"+id), eventbus.WithCorrelationID("story-"+id)); err != nil {
				t.Fatal(err)
			}
			pass(1)
		}
		ctx := <-kept
		if e, ok := eventbus.EnvelopeFrom(ctx); ok {
			t.Errorf("the context of a handler that returned has %s", e)
		}
		if err := late.Publish(ctx, order{ID: "c"}); err != nil {
			t.Fatal(err)
		}
		closeBus(t, bus)
		r := cluster.Records("test.sales.public.late.v1")[0]
		for name, want := range map[string]string{"ce_causationid": "event-a", "ce_correlationid": "story-a"} {
			if got, _ := r.Header(name); string(got) != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	})
}
