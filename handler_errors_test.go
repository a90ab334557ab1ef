package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/inbox"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// tooLarge is the configuration of a bus that refuses large events.
func tooLarge() eventbus.Config {
	c := config()
	c.Producer.BatchBytes = 2000
	return c
}

// TestHandlerReturnsAPublishedBatchsError: the error of a publish says nothing about the
// handled event, however the handler wraps it.
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

// TestErrorsWhoseMethodsPanic: such an error is a failed attempt, and its methods are not
// called again.
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

// TestErrorsThatLie: whatever an error's methods do, the event gets its attempts and its
// dead letter, and the process goes on.
func TestErrorsThatLie(t *testing.T) {
	circle := map[string]any{}
	circle["itself"] = circle
	var unblock chan struct{}
	lies := map[string]func(context.Context) error{
		"is its own cause":        func(context.Context) error { return lie{unwrap: func(e error) []error { return []error{e} }} },
		"is its own causes":       func(context.Context) error { return lie{unwrap: func(e error) []error { return []error{e, e} }} },
		"has causes that are nil": func(context.Context) error { return lie{unwrap: func(error) []error { return []error{nil, nil} }} },
		"is every error":          func(context.Context) error { return lie{is: true} },
		"is every error, wrapped": func(context.Context) error { return &eventbus.Error{Op: "publish", Err: lie{is: true}} },
		"ends its goroutine":      func(context.Context) error { return lie{text: func() string { runtime.Goexit(); return "" }} },
		"blocks":                  func(context.Context) error { return lie{text: func() string { <-unblock; return "" }} },
		"panics with a circle":    func(context.Context) error { panic(circle) },
		"panics with nil":         func(context.Context) error { panic(nil) },
		"text of a megabyte":      func(context.Context) error { return errors.New(strings.Repeat("long ", 200_000)) },
		"text that is not text":   func(context.Context) error { return errors.New("\xff\x00\x1b[2J\n") },
		"no text":                 func(context.Context) error { return errors.New("") },
		"its own context's end":   func(ctx context.Context) error { own, end := context.WithCancel(ctx); end(); return own.Err() },
		"a deadline of its own": func(ctx context.Context) error {
			own, end := context.WithTimeout(ctx, 0)
			defer end()
			return own.Err()
		},
		"an unavailable circle": func(context.Context) error {
			return eventbus.Unavailable(lie{unwrap: func(e error) []error { return []error{e} }})
		},
		"permanent nil in marks":    func(context.Context) error { return &eventbus.BatchError{Errors: map[int]error{0: (*nilError)(nil)}} },
		"a retry before now":        func(context.Context) error { return eventbus.RetryAfter(-time.Hour, errBoom) },
		"a retry in many years":     func(context.Context) error { return eventbus.RetryAfter(1<<63-1, errBoom) },
		"an error of the transport": func(context.Context) error { return transport.ErrClosed },
	}
	for name, returned := range lies {
		for kind, idempotent := range map[string]bool{"": false, " through an inbox": true} {
			t.Run(name+kind, func(t *testing.T) {
				run(t, func(t *testing.T, cluster *memory.Cluster) {
					unblock = make(chan struct{})
					bus, topic := newBus(t, cluster, config()), orders(t)
					var others, attempts atomic.Int64
					options := []eventbus.SubscribeOption{eventbus.Retry(resilience.Retry{Attempts: 2}), eventbus.Timeout(time.Second)}
					if idempotent {
						options = append(options, eventbus.Use(eventbus.Idempotent(inbox.Memory(0))))
					}
					must(t, eventbus.Subscribe(bus, topic, func(ctx context.Context, o order) error {
						if o.ID != "bad" {
							others.Add(1)
							return nil
						}
						attempts.Add(1)
						return returned(ctx)
					}, options...))
					start(t, bus)
					p := eventbus.NewPublisher(bus, topic)
					for i := range 10 {
						must(t, p.Publish(t.Context(), order{"bad", i}))
						must(t, p.Publish(t.Context(), order{fmt.Sprint("good", i), i}))
					}
					pass(time.Hour)
					_, _ = bus.Health(t.Context()), bus.Operator().Inspect()
					letters, want := len(cluster.Records(orderLetters)), 10
					if name == "blocks" {
						want = 0 // its key waits for it, and health names it
					}
					if letters != want || others.Load() != 10 {
						t.Errorf("%d attempts, %d dead letters, %d of 10 others handled", attempts.Load(), letters, others.Load())
					}
					for _, r := range cluster.Records(orderLetters) {
						if text, _ := r.Header("eventbus-dlq-error"); len(text) > 8<<10 {
							t.Errorf("an error of %d bytes", len(text))
						}
					}
					close(unblock)
					_ = bus.Close(t.Context())
				})
			})
		}
	}
}

// lie is an error whose methods do what a test wants.
type lie struct {
	text   func() string
	is     bool
	unwrap func(e error) []error
}

func (l lie) Error() string {
	if l.text != nil {
		return l.text()
	}
	return "lie"
}

func (l lie) Is(error) bool { return l.is }

func (l lie) Unwrap() []error {
	if l.unwrap != nil {
		return l.unwrap(l)
	}
	return nil
}

// TestBreakerRefusesAWholeBatch: if the publishing breaker refuses a batch, that is not
// the handled event's fault, however large the batch is.
func TestBreakerRefusesAWholeBatch(t *testing.T) {
	errs := make(map[int]error)
	for i := range 200 {
		errs[i] = &eventbus.Error{Op: "publish", Err: eventbus.ErrCircuitOpen}
	}
	refused := &eventbus.PublishBatchError{Errors: errs}
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		var closed atomic.Bool
		var attempts atomic.Int64
		must(t, eventbus.Subscribe(bus, topic, func(ctx context.Context, _ order) error {
			d, _ := eventbus.DeliveryFrom(ctx)
			if attempts.Store(int64(d.Attempt)); !closed.Load() {
				return fmt.Errorf("publishing: %w", refused)
			}
			return nil
		}))
		start(t, bus)
		must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"a", 1}))
		pass(10 * time.Minute) // twice what the retry policy lasts
		closed.Store(true)
		pass(time.Minute)
		if n := len(cluster.Records(orderLetters)); n != 0 || attempts.Load() != 1 {
			t.Errorf("%d dead letters, handled in attempt %d", n, attempts.Load())
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
		}, eventbus.Use(eventbus.Idempotent(inbox.Memory(0)))))
		start(t, bus)
		must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"a", 1}))
		pass(10 * time.Minute)
		if n := len(cluster.Records("test.sales.public.note.v1")); n != 1 {
			t.Errorf("%d notes are published, want the one of the second attempt", n)
		}
		closeBus(t, bus)
	})
}

// TestMisuseIsAnError: what can't work is refused with an error, before anything runs.
func TestMisuseIsAnError(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		handler := func(context.Context, order) error { return nil }
		for name, err := range map[string]error{
			"has no handler":                bus.Add(eventbus.On[order](topic, nil)),
			"has no handler ":               bus.Add(eventbus.OnBatch[order](topic, nil)),
			"has no handler  ":              bus.Add(eventbus.OnDelete(topic, nil)),
			"has no handler   ":             bus.Add(eventbus.On(topic, eventbus.Upcast[order](nil, handler))),
			"has no handler    ":            bus.Add(eventbus.OnBatch(topic, eventbus.UpcastBatch[order, order](func(o order) (order, error) { return o, nil }, nil))),
			"the topic is nil":              bus.Add(eventbus.On(nil, handler)),
			"the bus is nil":                eventbus.Subscribe(nil, topic, handler),
			"middleware 1 of 1 is nil":      bus.Use(nil),
			"middleware 1 of 1 is nil ":     bus.Add(eventbus.On(topic, handler, eventbus.Use(eventbus.Idempotent(nil)))),
			"Use: middleware 1 of 1 is nil": eventbus.On(topic, handler, eventbus.Use(nil)).Handle(t.Context(), new(eventbus.Envelope)),
			"middleware 2 of 2 is nil":      bus.Add(eventbus.On(topic, handler, eventbus.Use(through, nil))),
			"returned no handler":           useAndStart(t, func(eventbus.Handler) eventbus.Handler { return nil }),
			"middleware panicked at":        useAndStart(t, func(eventbus.Handler) eventbus.Handler { panic("no") }),
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

// TestMiddlewareMakesAPublisher: a middleware can use the bus when it wraps a handler.
func TestMiddlewareMakesAPublisher(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		note := eventbus.NewTopic(eventbus.TopicConfig[string]{Domain: "sales", Name: "note", Type: "Noted"})
		must(t, bus.Use(func(next eventbus.Handler) eventbus.Handler {
			notes := eventbus.NewPublisher(bus, note)
			return func(ctx context.Context, d *eventbus.Delivery) error {
				return errors.Join(notes.Publish(ctx, d.Group), next(ctx, d))
			}
		}))
		handler := func(context.Context, order) error { return nil }
		must(t, eventbus.Subscribe(bus, topic, handler))
		start(t, bus)
		must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"a", 1}))
		pass(time.Second)
		report, err := bus.Operator().Replay(t.Context(), eventbus.ReplayConfig{}, eventbus.On(topic, handler, eventbus.Group("again")))
		if must(t, err); report.Handled() != 1 {
			t.Errorf("replayed %+v", report)
		}
		if n := len(cluster.Records("test.sales.public.note.v1")); n != 2 {
			t.Errorf("%d notes", n)
		}
		closeBus(t, bus)
	})
}

func through(next eventbus.Handler) eventbus.Handler { return next }

// useAndStart returns the error of starting a bus with a middleware.
func useAndStart(t *testing.T, m eventbus.Middleware) error {
	t.Helper()
	bus := newBus(t, memory.New(), config())
	must(t, bus.Use(m))
	must(t, eventbus.Subscribe(bus, orders(t), func(context.Context, order) error { return nil }))
	err := bus.Start(t.Context())
	closeBus(t, bus)
	return err
}

// TestReceiptsJoinWhatErrorsEnd: an error that marks events as handled or given up does so
// only if what the handler published for them is in the log.
func TestReceiptsJoinWhatErrorsEnd(t *testing.T) {
	discardBoom := func(err error) error {
		if errors.Is(err, errBoom) {
			return eventbus.Discard(err)
		}
		return err
	}
	type publish func(ctx context.Context, events ...order)
	batch := func(err error) func(*eventbus.Topic[order], publish) eventbus.Subscription {
		return func(topic *eventbus.Topic[order], p publish) eventbus.Subscription {
			return eventbus.OnBatch(topic, func(ctx context.Context, events []order) error {
				if p(ctx, events...); len(events) > 1 {
					return err
				}
				return nil
			})
		}
	}
	single := func(err error, options ...eventbus.SubscribeOption) func(*eventbus.Topic[order], publish) eventbus.Subscription {
		return func(topic *eventbus.Topic[order], p publish) eventbus.Subscription {
			return eventbus.On(topic, func(ctx context.Context, o order) error { p(ctx, o); return err }, options...)
		}
	}
	for name, subscribe := range map[string]func(*eventbus.Topic[order], publish) eventbus.Subscription{
		"marks":          batch(&eventbus.BatchError{Errors: map[int]error{1: errBoom}}),
		"marks for good": batch(fmt.Errorf("two: %w", &eventbus.BatchError{Errors: map[int]error{1: eventbus.Permanent(errBoom)}})),
		"stopped":        batch(eventbus.StoppedAt(1, errBoom)),
		"discarded":      single(eventbus.Discard(errBoom)),
		"discarded by OnError": single(errBoom, eventbus.OnError(func(err error) error {
			if errors.Is(err, eventbus.ErrTooLarge) {
				return err
			}
			return eventbus.Discard(err)
		})),
		"discarded by OnError for what it is": single(errBoom, eventbus.OnError(discardBoom)),
		"discarded twice":                     single(eventbus.Discard(errBoom), eventbus.OnError(discardBoom)),
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, cluster *memory.Cluster) {
				bus, topic := newBus(t, cluster, tooLarge()), orders(t)
				notes := eventbus.NewPublisher(bus, eventbus.NewTopic(eventbus.TopicConfig[string]{Domain: "sales", Name: "note", Type: "Noted"}))
				refused := false
				must(t, bus.Add(subscribe(topic, func(ctx context.Context, events ...order) {
					for _, o := range events {
						text := fmt.Sprint(o.Seq)
						if o.Seq == 0 && !refused {
							text, refused = strings.Repeat("large ", 1000), true
						}
						notes.PublishAsync(ctx, text)
					}
				})))
				must(t, eventbus.NewPublisher(bus, topic).PublishBatch(t.Context(), []order{{"a", 0}, {"a", 1}}))
				start(t, bus)
				pass(time.Minute)
				noted := make(map[string]bool)
				for _, r := range cluster.Records("test.sales.public.note.v1") {
					noted[string(r.Value)] = true
				}
				if !noted[`"0"`] || !noted[`"1"`] {
					t.Errorf("noted are %v", noted)
				}
				closeBus(t, bus)
			})
		})
	}
}
