package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/inbox"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// tooLarge is the configuration of a bus that refuses large events.
func tooLarge() eventbus.Config {
	c := config()
	c.Producer.BatchBytes = 2000
	return c
}

// TestHandlerReturnsAPublishedBatchsError: the error of a publish says nothing of
// the event that is handled, in whatever the handler wraps it.
func TestHandlerReturnsAPublishedBatchsError(t *testing.T) {
	for name, wrap := range map[string]func(error) error{
		"as it is":  func(err error) error { return err },
		"wrapped":   func(err error) error { return fmt.Errorf("publishing: %w", err) },
		"joined":    func(err error) error { return errors.Join(errors.New("database"), err) },
		"permanent": eventbus.Permanent,
		"panic":     func(err error) error { panic(err) },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, cluster *memory.Cluster) {
				bus, topic := newBus(t, cluster, tooLarge()), orders(t)
				notes := eventbus.NewPublisher(bus, eventbus.NewTopic(eventbus.TopicConfig[string]{Domain: "sales", Name: "note", Type: "Noted"}))
				attempts := 0
				must(t, eventbus.Subscribe(bus, topic, func(ctx context.Context, _ order) error {
					attempts++
					return wrap(notes.PublishBatch(ctx, []string{"fine", strings.Repeat("large ", 1000)}))
				}))
				start(t, bus)
				must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"a", 1}))
				pass(10 * time.Minute)
				if letters := len(cluster.Records(ordersName + "." + ordersGroup + ".dlq")); letters != 1 {
					t.Errorf("%d attempts and %d dead letters, want one letter", attempts, letters)
				}
				if final := name == "permanent"; final != (attempts == 1) {
					t.Errorf("%d attempts", attempts)
				}
				closeBus(t, bus)
			})
		})
	}
}

// TestErrorsWhoseMethodsPanic: they are failed attempts, and nothing else calls them.
func TestErrorsWhoseMethodsPanic(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		must(t, eventbus.Subscribe(bus, topic, func(_ context.Context, o order) error {
			switch o.ID {
			case "marks":
				return (*eventbus.BatchError)(nil)
			case "error":
				return (*eventbus.Error)(nil)
			case "panics":
				return (*nilError)(nil)
			case "permanent":
				return eventbus.Permanent((*nilError)(nil))
			}
			panic((*nilError)(nil))
		}, eventbus.Retry(resilience.NoRetry())))
		start(t, bus)
		p := eventbus.NewPublisher(bus, topic)
		ids := []string{"marks", "error", "panics", "permanent", "panic"}
		for _, id := range ids {
			must(t, p.Publish(t.Context(), order{id, 1}))
		}
		pass(time.Minute)
		_, _ = bus.Health(t.Context()), bus.Operator().Inspect()
		if letters := len(cluster.Records(ordersName + "." + ordersGroup + ".dlq")); letters != len(ids) {
			t.Errorf("%d dead letters, want %d", letters, len(ids))
		}
		closeBus(t, bus)
	})
}

type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

// TestReceiptsJoinBeforeMiddleware: a middleware that commits a transaction after
// its handler commits none whose events were not published.
func TestReceiptsJoinBeforeMiddleware(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, tooLarge()), orders(t)
		notes := eventbus.NewPublisher(bus, eventbus.NewTopic(eventbus.TopicConfig[string]{Domain: "sales", Name: "note", Type: "Noted"}))
		text := strings.Repeat("large ", 1000)
		must(t, eventbus.Subscribe(bus, topic, func(ctx context.Context, _ order) error {
			notes.PublishAsync(ctx, text)
			text = "small"
			return nil
		}, eventbus.With(eventbus.Idempotent(inbox.Memory(0)))))
		start(t, bus)
		must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"a", 1}))
		pass(10 * time.Minute)
		if n := len(cluster.Records("test.sales.public.note.v1")); n != 1 {
			t.Errorf("%d notes are published, want the one of the second attempt", n)
		}
		closeBus(t, bus)
	})
}

// TestMisuseIsAnError: what can't work is refused in words, before anything runs.
func TestMisuseIsAnError(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		handler := func(context.Context, order) error { return nil }
		for name, err := range map[string]error{
			"has no handler":           bus.Add(eventbus.On[order](topic, nil)),
			"has no handler ":          bus.Add(eventbus.OnBatch[order](topic, nil)),
			"has no handler  ":         bus.Add(eventbus.OnDelete(topic, nil)),
			"the topic is nil":         bus.Add(eventbus.On(nil, handler)),
			"the bus is nil":           eventbus.Subscribe(nil, topic, handler),
			"middleware 1 of 1 is nil": bus.Use(nil),
			"middleware 2 of 2 is nil": bus.Add(eventbus.On(topic, handler, eventbus.With(through, nil))),
			"returned no handler":      useAndStart(t, func(eventbus.Handler) eventbus.Handler { return nil }),
			"middleware panicked at":   useAndStart(t, func(eventbus.Handler) eventbus.Handler { panic("no") }),
		} {
			if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(name)) {
				t.Errorf("%v, want an error that says %q", err, name)
			}
		}
		must(t, eventbus.Subscribe(bus, topic, handler))
		start(t, bus)
		if err := bus.Use(through); err == nil || !strings.Contains(err.Error(), "has been started") {
			t.Errorf("Use after Start: %v", err)
		}
		closeBus(t, bus)
	})
}

func through(next eventbus.Handler) eventbus.Handler { return next }

// useAndStart returns what a bus says of a middleware at its start.
func useAndStart(t *testing.T, m eventbus.Middleware) error {
	t.Helper()
	bus := newBus(t, memory.New(), config())
	must(t, bus.Use(m))
	must(t, eventbus.Subscribe(bus, orders(t), func(context.Context, order) error { return nil }))
	err := bus.Start(t.Context())
	closeBus(t, bus)
	return err
}
