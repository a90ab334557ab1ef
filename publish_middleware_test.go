package eventbus_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// TestPublishMiddleware: every way of publishing runs the middleware, in order and
// once; publishing an envelope does not.
func TestPublishMiddleware(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		c, topic := config(), orders(t)
		seen := 0
		c.PublishMiddleware = []eventbus.PublishMiddleware{
			func(_ context.Context, e *eventbus.Envelope) error {
				seen++
				e.Extensions["tenant"] = "t"
				e.Headers = append(e.Headers, transport.Header{Key: "order", Value: []byte("1")})
				return nil
			},
			func(_ context.Context, e *eventbus.Envelope) error {
				if e.Extensions["tenant"] != "t" || e.Source == "" || e.Topic != topic.In("Test") || e.ID == "" {
					t.Errorf("the second middleware sees %v", e)
				}
				e.Headers = append(e.Headers, transport.Header{Key: "order", Value: []byte("2")})
				if !e.Tombstone {
					e.Data = append([]byte(" "), e.Data...)
				}
				return nil
			},
		}
		bus := newBus(t, cluster, c)
		p := eventbus.NewPublisher(bus, topic)
		must(t, p.PublishWith(t.Context(), order{ID: "a"}, eventbus.WithExtension("mine", "x")))
		_, err := p.PublishAsync(t.Context(), order{ID: "b"}).Wait(t.Context())
		must(t, err)
		must(t, p.PublishBatch(t.Context(), []order{{ID: "c"}, {ID: "d"}}, eventbus.WithExtension("mine", "x")))
		must(t, p.Delete(t.Context(), "e"))
		stored, err := p.Envelope(t.Context(), order{ID: "f"})
		must(t, err)
		deleted, err := p.DeleteEnvelope(t.Context(), "g")
		must(t, err)
		must(t, bus.PublishEnvelope(t.Context(), stored))
		must(t, bus.PublishEnvelopes(t.Context(), []*eventbus.Envelope{deleted}))
		if seen != 7 {
			t.Errorf("seen %d events, want 7", seen)
		}
		records := cluster.Records(topic.In("Test"))
		if len(records) != 7 {
			t.Fatalf("%d records", len(records))
		}
		for _, r := range records {
			tenant, _ := r.Header("ce_tenant")
			var order string
			for _, h := range r.Headers {
				if h.Key == "order" {
					order += string(h.Value)
				}
			}
			if string(tenant) != "t" || order != "12" || r.Value != nil && r.Value[0] != ' ' {
				t.Errorf("a record of key %s has tenant %q, order %q, data %q", r.Key, tenant, order, r.Value)
			}
		}
		closeBus(t, bus)
	})
}

// TestPublishMiddlewareRefuses: an error, a panic and a change of the event's identity
// refuse the publish with a reason, and an attempt that waits for its events ends.
func TestPublishMiddlewareRefuses(t *testing.T) {
	refused := errors.New("no tenant")
	for _, c := range []struct {
		name, want string
		m          eventbus.PublishMiddleware
	}{
		{"error", "publish middleware 1 of 1: no tenant", func(context.Context, *eventbus.Envelope) error { return refused }},
		{"panic", "publish middleware panicked at", func(context.Context, *eventbus.Envelope) error { panic("broken") }},
		{"id", "changed what the event is", func(_ context.Context, e *eventbus.Envelope) error { e.ID = "x"; return nil }},
		{"key", "changed what the event is", func(_ context.Context, e *eventbus.Envelope) error { e.Key = nil; return nil }},
		{"key in place", "changed what the event is", func(_ context.Context, e *eventbus.Envelope) error { e.Key = append(e.Key[:0], 'z'); return nil }},
		{"tombstone", "changed what the event is", func(_ context.Context, e *eventbus.Envelope) error { e.Tombstone = !e.Tombstone; return nil }},
		{"header", `the header "ce_id", which the bus writes`, func(_ context.Context, e *eventbus.Envelope) error {
			e.Headers = append(e.Headers, transport.Header{Key: "ce_id"})
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(t *testing.T, cluster *memory.Cluster) {
				config, topic := config(), orders(t)
				config.PublishMiddleware = []eventbus.PublishMiddleware{c.m}
				bus := newBus(t, cluster, config)
				p := eventbus.NewPublisher(bus, topic)
				_, async := p.PublishAsync(t.Context(), order{ID: "a"}).Wait(t.Context())
				_, envelope := p.Envelope(t.Context(), order{ID: "a"})
				s := eventbus.On(topic, func(ctx context.Context, o order) error {
					p.PublishAsync(ctx, o)
					return nil
				})
				attempt := s.Handle(t.Context(), &eventbus.Envelope{ID: "e", Source: "s", Data: []byte("{}")})
				for how, err := range map[string]error{
					"Publish": p.Publish(t.Context(), order{ID: "a"}), "PublishAsync": async, "Envelope": envelope, "an attempt": attempt,
					"PublishBatch": p.PublishBatch(t.Context(), []order{{ID: "a"}}), "Delete": p.Delete(t.Context(), "a"),
				} {
					if err == nil || !strings.Contains(err.Error(), c.want) {
						t.Errorf("%s: %v, want %s", how, err, c.want)
					}
					if c.name == "error" && !errors.Is(err, refused) {
						t.Errorf("%s: the cause is lost in %v", how, err)
					}
				}
				if n := len(cluster.Records(topic.In("Test"))); n != 0 {
					t.Errorf("%d records", n)
				}
				closeBus(t, bus)
			})
		})
	}
	bad := config()
	bad.PublishMiddleware = []eventbus.PublishMiddleware{nil}
	if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), "PublishMiddleware has a nil at 0") {
		t.Error(err)
	}
}

// TestPublishMiddlewareAndDerivedIDs: a middleware that replaces the data keeps the id
// that it saw, which is new: its data may be secret, and differs at each attempt. One
// that adds a header does not change the derived id.
func TestPublishMiddlewareAndDerivedIDs(t *testing.T) {
	for replaces, same := range map[bool]bool{false: true, true: false} {
		var saw string
		c, n := config(), 0
		c.PublishMiddleware = []eventbus.PublishMiddleware{func(_ context.Context, e *eventbus.Envelope) error {
			saw = e.ID
			if n++; replaces {
				e.Data = append([]byte(nil), e.Data...)
			}
			e.Headers = append(e.Headers, transport.Header{Key: "sent", Value: []byte(time.Now().String())})
			return nil
		}}
		bus := newBus(t, memory.New(), c)
		p := eventbus.NewPublisher(bus, charges())
		var ids []string
		for range 2 {
			s := eventbus.On(orders(t), func(ctx context.Context, _ order) error {
				e, err := p.Envelope(ctx, charge{ID: "k"})
				if err == nil {
					ids = append(ids, e.ID)
				}
				return err
			}, eventbus.DerivedIDs())
			must(t, s.Handle(t.Context(), &eventbus.Envelope{ID: "e", Source: "s", Data: []byte("{}")}))
		}
		if (ids[0] == ids[1]) != same || replaces && ids[1] != saw {
			t.Errorf("replaced %t: ids %v, the middleware saw %s", replaces, ids, saw)
		}
		closeBus(t, bus)
	}
}
