package kafkatest_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport"
)

// inBothForms runs body with a handler of one event and with one of batches.
func inBothForms(t *testing.T, body func(t *testing.T, cluster *kafkatest.Cluster, subscribe func(eventbus.Middleware) eventbus.Subscription)) {
	everywhere(t, func(t *testing.T, cluster *kafkatest.Cluster) {
		t.Run("On", func(t *testing.T) {
			body(t, cluster, func(m eventbus.Middleware) eventbus.Subscription {
				return eventbus.On(placed, check, eventbus.Use(m))
			})
		})
	})
	everywhere(t, func(t *testing.T, cluster *kafkatest.Cluster) {
		t.Run("OnBatch", func(t *testing.T) {
			body(t, cluster, func(m eventbus.Middleware) eventbus.Subscription {
				return eventbus.OnBatch(placed, func(context.Context, []orderPlaced) error { return nil }, eventbus.Use(m))
			})
		})
	})
}

// TestHandlerThatEndsItsGoroutine: the wait ends at once, and names the handler and
// the line.
func TestHandlerThatEndsItsGoroutine(t *testing.T) {
	for name, exit := range map[string]func(){
		"Goexit": func() { runtime.Goexit() }, "FailNow": func() { new(testing.T).FailNow() }, "Fatal": func() { new(testing.T).Fatal("no") },
	} {
		t.Run(name, func(t *testing.T) {
			inBothForms(t, func(t *testing.T, cluster *kafkatest.Cluster, subscribe func(eventbus.Middleware) eventbus.Subscription) {
				cluster.Start(t, subscribe(func(eventbus.Handler) eventbus.Handler {
					return func(context.Context, *eventbus.Delivery) error {
						exit()
						return nil
					}
				}))
				began := time.Now()
				text := complain(t, func(tb testing.TB) {
					kafkatest.Publish(tb, cluster, placed, orderPlaced{"a", 1})
					cluster.Settle(tb)
				})
				if !strings.Contains(text, "misuse_test.go:") || !strings.Contains(text, "ended its goroutine on topic "+placed.In(cluster.Environment())) {
					t.Errorf("after %v the test says %q", time.Since(began), text)
				}
				cluster.Settle(t) // reported once, and the bus goes on
			})
		})
	}
}

// TestPanicIsNoMisuse: the bus turns a panic into an error, and kafkatest does not
// report it.
func TestPanicIsNoMisuse(t *testing.T) {
	cluster := kafkatest.NewMemory(t)
	cluster.Start(t, eventbus.On(placed, func(context.Context, orderPlaced) error { panic("the drawer is stuck") }))
	kafkatest.Publish(t, cluster, placed, orderPlaced{"a", 1})
	cluster.Settle(t)
	if letter := kafkatest.DeadLettered(t, cluster, placed, orderPlaced{"a", 1})[0]; !strings.Contains(letter.Error, "the drawer is stuck") {
		t.Errorf("%+v", letter)
	}
}

// TestKeptEnvelope: an envelope that a handler keeps reads "used after release".
func TestKeptEnvelope(t *testing.T) {
	inBothForms(t, func(t *testing.T, cluster *kafkatest.Cluster, subscribe func(eventbus.Middleware) eventbus.Subscription) {
		var mu sync.Mutex
		var kept []*eventbus.Envelope
		var data, keys, values [][]byte
		cluster.Start(t, subscribe(func(next eventbus.Handler) eventbus.Handler {
			return func(ctx context.Context, d *eventbus.Delivery) error {
				mu.Lock()
				defer mu.Unlock()
				for _, e := range d.Events {
					kept, data, keys = append(kept, e), append(data, e.Data), append(keys, e.Key)
					for _, h := range e.Headers {
						values = append(values, h.Value)
					}
				}
				return next(ctx, d)
			}
		}))
		bus := cluster.Bus(t, func(c *eventbus.Config) { c.Service = "publisher" })
		err := eventbus.NewPublisher(bus, placed).PublishWith(t.Context(), orderPlaced{"order-4711", 1}, eventbus.WithHeader("tenant", "a-tenant"))
		if err != nil {
			t.Fatal(err)
		}
		cluster.Settle(t)
		mu.Lock()
		defer mu.Unlock()
		const words = "used after release: Clone the Envelope to keep it. "
		if len(kept) != 1 || len(values) != 1 {
			t.Fatalf("%d events and %d headers were seen", len(kept), len(values))
		}
		for what, got := range map[string]string{
			"data": string(data[0]), "key": string(keys[0]), "header": string(values[0]), "id": kept[0].ID, "type": kept[0].Type,
		} {
			if got == "" || !strings.HasPrefix(strings.Repeat(words, 3), got) {
				t.Errorf("the kept %s is %q", what, got)
			}
		}
		kafkatest.Handled(t, cluster, placed, orderPlaced{"order-4711", 1})
	})
}

// TestWrittenEnvelope: a handler that changes an event's data fails the test.
func TestWrittenEnvelope(t *testing.T) {
	cluster := kafkatest.NewMemory(t)
	cluster.Start(t, eventbus.On(placed, func(ctx context.Context, _ orderPlaced) error {
		e, _ := eventbus.EnvelopeFrom(ctx)
		e.Data[0] = 'x'
		return nil
	}))
	text := complain(t, func(tb testing.TB) {
		kafkatest.Publish(tb, cluster, placed, orderPlaced{"a", 1})
		cluster.Settle(tb)
	})
	if !strings.Contains(text, "wrote to the data, key or headers") {
		t.Errorf("the test says %q", text)
	}
}

// TestReleasedRecords: the records of consumers and readers expire with their batch.
func TestReleasedRecords(t *testing.T) {
	everywhere(t, func(t *testing.T, cluster *kafkatest.Cluster) {
		kafkatest.Publish(t, cluster, placed, orderPlaced{"a", 1})
		from := map[transport.Partition]int64{}
		for n := range int32(3) {
			from[transport.Partition{Topic: placed.In(cluster.Environment()), Partition: n}] = 0
		}
		reader, err := cluster.Transport().NewReader(transport.ReaderConfig{From: from})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = reader.Close(t.Context()) }()
		batches, err := reader.Poll(t.Context())
		if err != nil || len(batches) != 1 || len(batches[0].Records) != 1 {
			t.Fatalf("%v, %v", batches, err)
		}
		kept := batches[0].Records[0]
		batches[0].Release()
		if !strings.HasPrefix(string(kept.Value), "used after") || !strings.HasPrefix(kept.Headers[0].Key, "used") {
			t.Errorf("the kept record is %q, %q", kept.Value, kept.Headers[0].Key)
		}
	})
}

// TestOwnBus: Settle and the assertions include a bus that the test makes itself.
func TestOwnBus(t *testing.T) {
	everywhere(t, func(t *testing.T, cluster *kafkatest.Cluster) {
		bus, err := eventbus.New(cluster.Transport(), eventbus.Config{
			Logger: slog.New(slog.DiscardHandler), Service: "own", Environment: cluster.Environment(), AutoProvision: eventbus.ProvisionAlways,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := bus.Close(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		})
		err = eventbus.Subscribe(bus, placed, func(_ context.Context, e orderPlaced) error {
			if e.Amount < 0 {
				return eventbus.Permanent(errNegative)
			}
			return nil
		})
		if err := errors.Join(err, bus.Start(t.Context())); err != nil {
			t.Fatal(err)
		}
		stop := kafkatest.FailHandlers(cluster, placed, func(e orderPlaced) error {
			if e.Amount == 2 {
				return eventbus.Permanent(errors.New("by the test"))
			}
			return nil
		})
		defer stop()
		kafkatest.Publish(t, cluster, placed, orderPlaced{"a", 1}, orderPlaced{"b", -1}, orderPlaced{"c", 2})
		cluster.Settle(t)
		kafkatest.Handled(t, cluster, placed, orderPlaced{"a", 1})
		kafkatest.DeadLettered(t, cluster, placed, orderPlaced{"b", -1}, orderPlaced{"c", 2})
	})
}
