package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport/memory"
	"go.opentelemetry.io/otel/codes"
)

// TestBreakerOutlivesItsCallback: a callback that panics, ends its goroutine or blocks does
// not affect its breaker, and its panic is logged with the line.
func TestBreakerOutlivesItsCallback(t *testing.T) {
	for name, misbehave := range map[string]func(stop chan struct{}){
		"panics":   func(chan struct{}) { panic("no") },
		"ends":     func(chan struct{}) { runtime.Goexit() },
		"blocks":   func(stop chan struct{}) { <-stop },
		"nil":      nil,
		"panicked": func(chan struct{}) { panic((*nilError)(nil)) },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, cluster *memory.Cluster) {
				var book logbook
				c := config()
				c.Logger = book.logger(slog.LevelDebug)
				stop := make(chan struct{})
				breaker := resilience.BreakerConfig{MinKeys: 2, MinAttempts: 2, After: -1, OpenFor: time.Second}
				if misbehave != nil {
					breaker.OnChange = func(resilience.State, resilience.State) { misbehave(stop) }
				}
				c.PublishBreaker = breaker
				bus, topic := newBus(t, cluster, c), orders(t)
				var down atomic.Bool
				var handled atomic.Int64
				down.Store(true)
				must(t, eventbus.Subscribe(bus, topic, func(context.Context, order) error {
					if down.Load() {
						return errBoom
					}
					handled.Add(1)
					return nil
				}, eventbus.Breaker(breaker), eventbus.Retry(resilience.Retry{})))
				start(t, bus)
				p := eventbus.NewPublisher(bus, topic)
				for _, id := range []string{"a", "b", "c", "d"} {
					must(t, p.Publish(t.Context(), order{id, 1}))
				}
				pass(5 * time.Second)
				if n := len(book.records(t, "to", "open")); n == 0 {
					t.Error("the breaker did not open")
				}
				down.Store(false)
				pass(time.Minute)
				if n := handled.Load(); n != 4 {
					t.Errorf("%d of 4 handled", n)
				}
				if panics := strings.HasPrefix(name, "panic"); panics {
					if n := strings.Count(book.String(), "OnChange panicked at "); n < 2 || !strings.Contains(book.String(), "/callback_test.go:") {
						t.Errorf("%d panics are logged in %s", n, book.String())
					}
				}
				close(stop)
				closeBus(t, bus)
			})
		})
	}
}

// TestBreakerAndMarkedEvents: if a few events of each batch fail, in whatever way, and most
// are handled, that is not an outage.
func TestBreakerAndMarkedEvents(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		var changes atomic.Int64
		must(t, bus.Add(eventbus.OnBatch(topic, func(_ context.Context, batch []order) error {
			failed := make(map[int]error)
			for i, o := range batch {
				if o.Seq%20 == 0 {
					failed[i] = errBoom
				}
			}
			if len(failed) == 0 {
				return nil
			}
			return &eventbus.BatchError{Errors: failed}
		}, eventbus.Retry(resilience.Retry{Attempts: 8}),
			eventbus.Breaker(resilience.BreakerConfig{OnChange: func(resilience.State, resilience.State) { changes.Add(1) }}))))
		start(t, bus)
		p := eventbus.NewPublisher(bus, topic)
		for second := range 60 {
			batch := make([]order, 200)
			for i := range batch {
				if batch[i] = (order{fmt.Sprint(second, " ", i), i}); second >= 30 {
					batch[i].Seq = 20*i + 1 // until all that fails is a dead letter
				}
			}
			must(t, p.PublishBatch(t.Context(), batch))
			pass(time.Second)
		}
		if n := changes.Load(); n != 0 {
			t.Errorf("the breaker has changed %d times", n)
		}
		if n := len(cluster.Records(orderLetters)); n != 300 {
			t.Errorf("%d dead letters, want 300", n)
		}
		closeBus(t, bus)
	})
}

// TestSharedBreakerOfOthersStaysOn: a subscription's own breaker, or none, applies to it
// alone; others go on sharing theirs.
func TestSharedBreakerOfOthersStaysOn(t *testing.T) {
	shared := resilience.BreakerConfig{MinKeys: 2, MinAttempts: 2, After: -1, OpenFor: time.Hour}
	off := resilience.BreakerConfig{Disabled: true}
	for name, own := range map[string]eventbus.SubscribeOption{
		"off":         eventbus.Breaker(off),
		"off by name": eventbus.SharedBreaker("database", off),
		"own":         eventbus.Breaker(resilience.BreakerConfig{MinKeys: 1000}),
	} {
		for _, first := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				run(t, func(t *testing.T, cluster *memory.Cluster) {
					c := config()
					c.Handling = []eventbus.SubscribeOption{eventbus.Retry(resilience.Unlimited()), eventbus.SharedBreaker("database", shared)}
					bus, topic, sent := newBus(t, cluster, c), orders(t), shipments(t)
					alone := eventbus.On(sent, func(context.Context, shipment) error { return nil }, own)
					others := eventbus.On(topic, func(context.Context, order) error { return errBoom })
					deleted := eventbus.OnDelete(topic, func(context.Context, string) error { return nil })
					if first {
						must(t, bus.Add(alone, others, deleted))
					} else {
						must(t, bus.Add(deleted, others, alone))
					}
					start(t, bus)
					p := eventbus.NewPublisher(bus, topic)
					for _, id := range []string{"a", "b", "c"} {
						must(t, p.Publish(t.Context(), order{id, 1}))
					}
					must(t, eventbus.NewPublisher(bus, sent).Publish(t.Context(), shipment{"x"}))
					pass(time.Minute)
					breakers := make(map[string]string)
					for _, s := range bus.Operator().Inspect().Groups[0].Subscriptions {
						breakers[s.Name] = s.Breaker
					}
					for name, want := range map[string]string{alone.String(): "closed", others.String(): "open", deleted.String(): "open"} {
						if breakers[name] != want {
							t.Errorf("the breaker of %s is %s, want %s", name, breakers[name], want)
						}
					}
					closeBus(t, bus)
				})
			})
		}
	}
}

// starting is a codec whose Start is the test's function.
type starting struct {
	eventbus.Codec
	start func(context.Context) error
}

func (c starting) Start(ctx context.Context, _ string) error { return c.start(ctx) }

// TestCodecWhoseStartPanics: the panic becomes an error of Start; in the background it is
// retried.
func TestCodecWhoseStartPanics(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		var starts atomic.Int64
		codec := starting{eventbus.JSON(), func(context.Context) error {
			if starts.Add(1) < 4 {
				panic("no registry")
			}
			return nil
		}}
		topic := eventbus.NewTopic(eventbus.TopicConfig[shipment]{Domain: "sales", Name: "shipment", Unkeyed: true, Codec: codec})
		bus := newBus(t, cluster, config())
		eventbus.NewPublisher(bus, topic)
		err := bus.Start(t.Context())
		wantError(t, err, nil, "the codec of topic test.sales.public.shipment.v1", "Start panicked at", "/callback_test.go:", "no registry")
		if panicked := new(eventbus.PanicError); !errors.As(err, &panicked) || panicked.Value != "no registry" {
			t.Errorf("%T has no PanicError", err)
		}
		closeBus(t, bus)

		c := config()
		c.StartDegraded = true
		bus = newBus(t, memory.New(), c)
		eventbus.NewPublisher(bus, topic)
		must(t, bus.Start(t.Context()))
		pass(time.Minute)
		if n := starts.Load(); n != 4 {
			t.Errorf("%d starts, want one that succeeds after two that panic", n)
		}
		closeBus(t, bus)
	})
}

// TestCodecsWhoseStartsDoNotReturn: once the context has ended no other is begun.
func TestCodecsWhoseStartsDoNotReturn(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		stop := make(chan struct{})
		defer close(stop)
		codec := starting{eventbus.JSON(), func(context.Context) error { <-stop; return nil }}
		bus := newBus(t, cluster, config())
		for i := range 20 {
			eventbus.NewPublisher(bus, eventbus.NewTopic(eventbus.TopicConfig[shipment]{Domain: "sales", Name: fmt.Sprintf("shipment-%d", i), Unkeyed: true, Codec: codec}))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begin := time.Now()
		if err := bus.Start(ctx); err == nil {
			t.Error("Start returned nil")
		}
		if took := time.Since(begin); took > 7*time.Second {
			t.Errorf("Start returned after %v", took)
		}
		closeBus(t, bus)
	})
}

// TestCodecWhoseStartDoesNotReturn: neither the bus's Start nor its Close waits for a codec
// that goes on when its context has ended, even if what it does is closing the bus.
func TestCodecWhoseStartDoesNotReturn(t *testing.T) {
	for name, misbehave := range map[string]func(*eventbus.Bus, chan struct{}){
		"hangs":              func(_ *eventbus.Bus, stop chan struct{}) { <-stop },
		"closes the bus":     func(bus *eventbus.Bus, _ chan struct{}) { _ = bus.Close(context.Background()) },
		"ends its goroutine": func(*eventbus.Bus, chan struct{}) { runtime.Goexit() },
	} {
		for _, degraded := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, degraded %v", name, degraded), func(t *testing.T) {
				run(t, func(t *testing.T, cluster *memory.Cluster) {
					var bus *eventbus.Bus
					stop := make(chan struct{})
					codec := starting{eventbus.JSON(), func(context.Context) error {
						misbehave(bus, stop)
						return nil
					}}
					c := config()
					if c.StartDegraded = degraded; degraded {
						cluster.Disconnect()
					}
					bus = newBus(t, cluster, c)
					eventbus.NewPublisher(bus, eventbus.NewTopic(eventbus.TopicConfig[shipment]{Domain: "sales", Name: "shipment", Unkeyed: true, Codec: codec}))
					ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
					defer cancel()
					begin := time.Now()
					err := bus.Start(ctx)
					if took := time.Since(begin); (err == nil) != degraded || took > 7*time.Second {
						t.Errorf("Start returned after %v: %v", took, err)
					}
					cluster.Reconnect()
					pass(time.Minute)
					begin = time.Now()
					closeBus(t, bus)
					if took := time.Since(begin); took > 2*time.Second {
						t.Errorf("Close returned after %v", took)
					}
					close(stop)
				})
			})
		}
	}
}

// TestGoexitEndsItsSpan: the span of a handler that ends its goroutine ends too, and says
// how and where.
func TestGoexitEndsItsSpan(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		l, topic := newListener(), orders(t)
		var book logbook
		c := l.config("sales-api")
		c.Logger = book.logger(slog.LevelWarn)
		bus := newBus(t, cluster, c)
		must(t, eventbus.Subscribe(bus, topic, func(context.Context, order) error {
			runtime.Goexit()
			return nil
		}, eventbus.Retry(resilience.NoRetry())))
		start(t, bus)
		must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"a", 1}))
		pass(time.Minute)
		spans := l.named("process " + ordersName)
		if len(spans) != 1 {
			t.Fatalf("%d spans of the attempt have ended", len(spans))
		}
		s := spans[0]
		if s.Status.Code != codes.Error || attributeOf(s.Attributes, "error.type") != "panic" || !strings.Contains(s.Status.Description, "/callback_test.go:") {
			t.Errorf("the span says %q, %q", s.Status.Description, attributeOf(s.Attributes, "error.type"))
		}
		if stack := attributeOf(s.Events[0].Attributes, "exception.stacktrace"); !strings.Contains(stack, "TestGoexitEndsItsSpan") {
			t.Errorf("its stack is %q", stack)
		}
		if text := book.String(); !strings.Contains(text, "ended its goroutine at ") || !strings.Contains(text, "/callback_test.go:") {
			t.Errorf("the log says %s", text)
		}
		if n := sum(l.collect(t)["messaging.process.duration"], nil); n != 1 {
			t.Errorf("%v attempts are measured", n)
		}
		closeBus(t, bus)
	})
}

// panicking is a codec that can't encode.
type panicking struct{ eventbus.Codec }

func (panicking) Encode(context.Context, []byte, *eventbus.Envelope, any) ([]byte, error) {
	panic("no")
}

// TestBatchSpanOfPanickingCodec: the panic reaches the caller, and the batch's span ends
// with it as its error.
func TestBatchSpanOfPanickingCodec(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		l := newListener()
		bus := newBus(t, cluster, l.config("sales-api"))
		topic := eventbus.NewTopic(eventbus.TopicConfig[shipment]{Domain: "sales", Name: "shipment", Unkeyed: true, Codec: panicking{eventbus.JSON()}})
		func() {
			defer func() {
				if v := recover(); v != "no" {
					t.Errorf("the caller sees %v", v)
				}
			}()
			_ = eventbus.NewPublisher(bus, topic).PublishBatch(t.Context(), []shipment{{"x"}})
		}()
		spans := l.named("send test.sales.public.shipment.v1")
		if len(spans) != 1 || spans[0].Status.Code != codes.Error || !strings.Contains(spans[0].Status.Description, "panicked") {
			t.Errorf("spans that ended: %+v", spans)
		}
		closeBus(t, bus)
	})
}

// TestSharedBreakerIsOfNoOrder: containers pass subscriptions in any order. So a
// dependency's breaker has the configuration given for it, whichever subscription comes
// first; two configurations are an error; and every OnChange is called.
func TestSharedBreakerIsOfNoOrder(t *testing.T) {
	quick := resilience.BreakerConfig{MinKeys: 2, MinAttempts: 2, After: -1, OpenFor: time.Hour}
	for _, first := range []int{0, 1} {
		run(t, func(t *testing.T, cluster *memory.Cluster) {
			bus, topic, sent := newBus(t, cluster, config()), orders(t), shipments(t)
			var byTopic, bySent atomic.Int64
			counting := func(n *atomic.Int64, c resilience.BreakerConfig) eventbus.SubscribeOption {
				c.OnChange = func(_, to resilience.State) {
					if to == resilience.Open {
						n.Add(1)
					}
				}
				return eventbus.SharedBreaker("database", c)
			}
			configured, plain := counting(&byTopic, quick), counting(&bySent, resilience.BreakerConfig{})
			forever := eventbus.Retry(resilience.Unlimited())
			subscriptions := []eventbus.Subscription{
				eventbus.On(sent, func(context.Context, shipment) error { return nil }, plain),
				eventbus.On(topic, func(context.Context, order) error { return errBoom }, configured, forever),
				eventbus.OnDelete(topic, func(context.Context, string) error { return nil }, configured),
			}
			if first == 1 {
				slices.Reverse(subscriptions)
			}
			other := quick
			other.OpenFor = time.Minute
			refused := eventbus.On(topic, func(context.Context, order) error { return nil }, eventbus.Group("other"), eventbus.SharedBreaker("database", other))
			if err := bus.Add(append(subscriptions, refused)...); err == nil || !strings.Contains(err.Error(), `SharedBreaker("database"): `) || !strings.Contains(err.Error(), "configure it once") {
				t.Errorf("two configurations: %v", err)
			}
			must(t, bus.Add(subscriptions...))
			start(t, bus)
			p := eventbus.NewPublisher(bus, topic)
			for _, id := range []string{"a", "b", "c"} {
				must(t, p.Publish(t.Context(), order{id, 1}))
			}
			pass(time.Minute)
			for _, s := range bus.Operator().Inspect().Groups[0].Subscriptions {
				if s.Breaker != "open" {
					t.Errorf("first %d: the breaker of %s is %s", first, s.Name, s.Breaker)
				}
			}
			if n, m := byTopic.Load(), bySent.Load(); n != 1 || m != 1 {
				t.Errorf("first %d: %d and %d openings are told", first, n, m)
			}
			closeBus(t, bus)
		})
	}
}
