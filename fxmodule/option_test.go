package fxmodule_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/config"
	"github.com/eventbus-go/eventbus/fxmodule"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// counter is a service that handles orders, and records each call with its time.
type counter struct {
	begun time.Time
	err   func(order) error // nil handles everything

	mu    sync.Mutex
	calls []string
}

func newCounter() *counter { return &counter{begun: time.Now()} }

func (c *counter) Take(ctx context.Context, o order) error { return c.TakeAll(ctx, []order{o}) }

func (c *counter) TakeAll(_ context.Context, all []order) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := make([]string, len(all))
	for i, o := range all {
		names[i] = o.ID
	}
	c.calls = append(c.calls, fmt.Sprint(strings.Join(names, "+"), " ", time.Since(c.begun).Round(time.Millisecond)))
	if c.err == nil {
		return nil
	}
	return c.err(all[0])
}

// expect compares the calls since it was called last, sorted as strings, with want.
func (c *counter) expect(t *testing.T, want ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Sort(c.calls)
	if !slices.Equal(c.calls, want) {
		t.Errorf("called %q, want %q", c.calls, want)
	}
	c.calls = nil
}

// service is an application on its own cluster in memory, with a counter in its
// container.
type service struct {
	*counter
	bus     *eventbus.Bus
	orders  *eventbus.Publisher[order]
	cluster *memory.Cluster
}

// serve starts a service in the test's bubble. It is stopped when the test ends.
func serve(t *testing.T, options ...fx.Option) *service {
	t.Helper()
	s := &service{counter: newCounter(), cluster: newCluster(t)}
	app := start(t, on(s.cluster), fx.Supply(s.counter), fxmodule.Publisher(orders), fx.Populate(&s.bus, &s.orders), fx.Options(options...))
	t.Cleanup(func() { stop(t, app) })
	return s
}

func (s *service) publish(t *testing.T, ids ...string) {
	t.Helper()
	for i, id := range ids {
		if err := s.orders.Publish(t.Context(), order{ID: id, N: i}); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Wait()
}

// wait advances the bubble's clock by d, and waits until all goroutines are blocked.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

var errBusy, errTrifle = errors.New("busy"), errors.New("trifle")

// TestWaitsWithFx: RetryWait takes constant, stepped and computed waits.
func TestWaitsWithFx(t *testing.T) {
	for name, test := range map[string]struct {
		wait func(int, error) time.Duration
		want []string
	}{
		"constant": {resilience.Constant(2 * time.Second), []string{"a 0s", "a 2s", "a 4s", "a 6s"}},
		"steps":    {resilience.Steps(time.Second, 3*time.Second), []string{"a 0s", "a 1s", "a 4s", "a 7s"}},
		"computed": {func(attempt int, err error) time.Duration {
			if !errors.Is(err, errBusy) {
				return time.Hour
			}
			return time.Duration(attempt) * time.Second
		}, []string{"a 0s", "a 1s", "a 3s", "a 6s"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, testConfig, fxmodule.Subscribe(orders, (*counter).Take,
					eventbus.RetryWait(test.wait), eventbus.Retry(resilience.Retry{Attempts: 4})))
				s.err = func(order) error { return errBusy }
				s.publish(t, "a")
				wait(time.Minute)
				s.expect(t, test.want...)
				if n := len(s.cluster.Records("test.sales.public.orders.v1.billing-test.dlq")); n != 1 {
					t.Errorf("%d dead letters", n)
				}
			})
		})
	}
}

// TestErrorsWithFx: OnError applies to one subscription, or by the configuration to all.
func TestErrorsWithFx(t *testing.T) {
	policy := eventbus.OnError(func(err error) error {
		if errors.Is(err, errTrifle) {
			return eventbus.Discard(err)
		}
		return err
	})
	for name, options := range map[string]fx.Option{
		"of one": fx.Options(testConfig, fxmodule.Subscribe(orders, (*counter).Take, policy)),
		"of all": fx.Options(testConfig, fxmodule.Subscribe(orders, (*counter).Take), fx.Decorate(func(c eventbus.Config) eventbus.Config {
			c.Handling = append(c.Handling, policy)
			return c
		})),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, options)
				s.err = func(order) error { return errTrifle }
				s.publish(t, "a", "b")
				s.expect(t, "a 0s", "b 0s")
				if sub := s.bus.Operator().Inspect().Groups[0].Subscriptions[0]; sub.Discarded != 2 {
					t.Errorf("%d discarded", sub.Discarded)
				}
			})
		})
	}
}

// TestPaceWithFx: BatchWait and BatchSize decide when a batch is handled, and RateLimit
// when an event is.
func TestPaceWithFx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, testConfig, fxmodule.SubscribeBatch(orders, (*counter).TakeAll,
			eventbus.BatchSize(3), eventbus.BatchWait(10*time.Second), eventbus.Ordered(eventbus.ByPartition)))
		s.publish(t, "a", "a")
		s.expect(t)
		wait(time.Minute)
		s.expect(t, "a+a 10s")
		s.publish(t, "a", "a", "a")
		s.expect(t, "a+a+a 1m0s")
	})
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, testConfig, fxmodule.Subscribe(orders, (*counter).Take, eventbus.RateLimit(0.5, 1)))
		s.publish(t, "a", "a", "a")
		wait(time.Minute)
		s.expect(t, "a 0s", "a 2s", "a 4s")
	})
}

// TestConfiguredWithFx: handling is configured by a file. Environment variables override
// it, and options of a subscription override both.
func TestConfiguredWithFx(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "appsettings.json"), []byte(`{"EventBus": {
		"Environment": "Test",
		"Handling": {"BatchSize": 2, "BatchWait": "5s", "RateLimit": {"PerSecond": 1000}, "Retry": {"Attempts": 3, "Wait": "1s, 4s"}}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	configured := func(variables ...string) fx.Option {
		return fxmodule.FromEnvironment(config.Directory(dir), config.Environ(variables...), config.Service("billing"))
	}
	single, batch := fxmodule.Subscribe(orders, (*counter).Take), fxmodule.SubscribeBatch(orders, (*counter).TakeAll)
	for name, test := range map[string]struct {
		options fx.Option
		err     error
		want    []string
	}{
		"batch, file":     {fx.Options(configured(), batch), nil, []string{"a 5s"}},
		"batch, variable": {fx.Options(configured("EventBus__Handling__BatchWait=7s"), batch), nil, []string{"a 7s"}},
		"waits, file":     {fx.Options(configured(), single), errBusy, []string{"a 0s", "a 1s", "a 5s"}},
		"waits, variable": {fx.Options(configured("EventBus__Handling__Retry__Wait=2s"), single), errBusy, []string{"a 0s", "a 2s", "a 4s"}},
		"limit, variable": {fx.Options(configured("EventBus__Handling__RateLimit__PerSecond=0.1"), single), errBusy, []string{"a 0s", "a 10s", "a 20s"}},
		"batch, option":   {fx.Options(configured(), fxmodule.SubscribeBatch(orders, (*counter).TakeAll, eventbus.BatchWait(time.Second))), nil, []string{"a 1s"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, test.options)
				s.err = func(order) error { return test.err }
				s.publish(t, "a")
				wait(time.Minute)
				s.expect(t, test.want...)
			})
		})
	}
}

// tenants is a service whose method is publish middleware.
type tenants struct{ name string }

func (n *tenants) mark(_ context.Context, e *eventbus.Envelope) error {
	if n.name == "" {
		return errors.New("no tenant")
	}
	e.Extensions = map[string]string{"tenant": n.name}
	return nil
}

// TestPublishMiddlewareWithFx: publish middleware of a service in the container sees the
// events of all publishers, and may refuse them.
func TestPublishMiddlewareWithFx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		n := &tenants{"t-1"}
		s := serve(t, testConfig, fx.Supply(n),
			fx.Decorate(func(c eventbus.Config, n *tenants) eventbus.Config {
				c.PublishMiddleware = append(c.PublishMiddleware, n.mark)
				return c
			}),
			fxmodule.Subscriptions(func(*counter) eventbus.Subscription {
				return eventbus.OnAny(orders, func(_ context.Context, e *eventbus.Envelope) error {
					got = append(got, string(e.Key)+" of "+e.Extensions["tenant"])
					return nil
				})
			}))
		s.publish(t, "a")
		if !slices.Equal(got, []string{"a of t-1"}) {
			t.Errorf("handled %q", got)
		}
		n.name = ""
		if err := s.orders.Publish(t.Context(), order{ID: "b"}); err == nil || !strings.Contains(err.Error(), "no tenant") {
			t.Errorf("published with error %v", err)
		}
	})
}

// cashier publishes an invoice for each order. Its first attempt fails after that.
type cashier struct {
	biller
	failed map[string]bool
}

func (c *cashier) fail(what string) error {
	if c.failed[what] {
		return nil
	}
	c.failed[what] = true
	return errBusy
}

func (c *cashier) Charge(ctx context.Context, o order) error {
	return errors.Join(c.Bill(ctx, o), c.fail("charge"))
}

func (c *cashier) Step(ctx context.Context, o order) error {
	// The attempts publish different data, and yet one event, because of the step.
	o.N = len(c.failed)
	return errors.Join(c.invoices.PublishWith(ctx, invoice{o.ID, o.N}, eventbus.WithStep("bill")), c.fail("step"))
}

func (c *cashier) ChargeAll(ctx context.Context, all []order) error {
	d, _ := eventbus.DeliveryFrom(ctx)
	for i, o := range all {
		if err := c.Bill(eventbus.CausedBy(ctx, d.Events[i]), o); err != nil {
			return err
		}
	}
	return c.fail("batch")
}

// TestDerivedIDsWithFx: all attempts publish under the same ID if it is derived or
// belongs to a step, also in a batch.
func TestDerivedIDsWithFx(t *testing.T) {
	for name, subscribed := range map[string]fx.Option{
		"derived": fxmodule.Subscribe(orders, (*cashier).Charge, eventbus.DerivedIDs()),
		"step":    fxmodule.Subscribe(orders, (*cashier).Step),
		"batch":   fxmodule.SubscribeBatch(orders, (*cashier).ChargeAll, eventbus.DerivedIDs()),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ids := map[string]int{}
				s := serve(t, testConfig, fxmodule.Publisher(invoices), subscribed,
					fx.Provide(func(p *eventbus.Publisher[invoice]) *cashier { return &cashier{biller{p}, map[string]bool{}} }),
					fxmodule.Subscriptions(func() eventbus.Subscription {
						return eventbus.OnAny(invoices, func(_ context.Context, e *eventbus.Envelope) error {
							ids[e.ID]++
							return nil
						})
					}))
				s.publish(t, "a")
				wait(time.Minute)
				if len(ids) != 1 || ids[first(ids)] != 2 {
					t.Errorf("published ids %v", ids)
				}
			})
		})
	}
}

func first(m map[string]int) string {
	for k := range m {
		return k
	}
	return ""
}

// oldOrder is an earlier form of order.
type oldOrder struct {
	Number string `json:"number" eventbus:"key"`
}

var oldOrders = eventbus.NewTopic(eventbus.TopicConfig[oldOrder]{Domain: "sales", Name: "order", Plural: true, Type: "oldOrder", Partitions: 4})

func renumbered(o oldOrder) (order, error) { return order{ID: o.Number}, nil }

// TestUpcastWithFx: the method of a service also handles events of an old type, one by
// one and in batches.
func TestUpcastWithFx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var old *eventbus.Publisher[oldOrder]
		s := serve(t, testConfig, fxmodule.Publisher(oldOrders), fx.Populate(&old),
			fxmodule.Subscribe(orders, (*counter).Take),
			fxmodule.Subscriptions(func(c *counter) []eventbus.Subscription {
				return []eventbus.Subscription{
					eventbus.On(oldOrders, eventbus.Upcast(renumbered, c.Take)),
					eventbus.OnBatch(oldOrders, eventbus.UpcastBatch(renumbered, c.TakeAll), eventbus.Group("batches")),
				}
			}))
		s.publish(t, "new")
		if err := old.PublishBatch(t.Context(), []oldOrder{{"old"}, {"old"}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.expect(t, "new 0s", "old 0s", "old 0s", "old+old 0s")
	})
}

// TestBytesWithFx: events may be bytes. A topic whose events have no key causes a
// warning, unless it is declared Unkeyed.
func TestBytesWithFx(t *testing.T) {
	for _, unkeyed := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			photos := eventbus.NewTopic(eventbus.TopicConfig[[]byte]{Domain: "media", Name: "photo", Type: "Photo", Codec: eventbus.Bytes(), Unkeyed: unkeyed})
			var publisher *eventbus.Publisher[[]byte]
			var got []byte
			w := warnings{nil, make(chan slog.Record, 10)}
			s := serve(t, testConfig, fxmodule.Publisher(photos), fx.Populate(&publisher),
				fx.Decorate(func(c eventbus.Config) eventbus.Config { c.Logger = slog.New(w); return c }),
				fxmodule.SubscribeFunc(photos, func(_ context.Context, b []byte) error { got = b; return nil }))
			if err := publisher.Publish(t.Context(), []byte("\xff\xd8")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if string(got) != "\xff\xd8" {
				t.Errorf("handled %q of %v", got, s.bus)
			}
			if warned := len(w.seen) > 0; warned == unkeyed {
				t.Errorf("unkeyed %v: %d warnings", unkeyed, len(w.seen))
			}
		})
	}
}

// TestTopicsWithFx: the topics of several contracts packages add up, and a handler
// publishes by Go type.
func TestTopicsWithFx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var billed []invoice
		s := serve(t, testConfig, fxmodule.Topics(orders), fxmodule.Topics(invoices, oldOrders),
			fxmodule.Subscriptions(func(bus *eventbus.Bus) eventbus.Subscription {
				return eventbus.Handle(func(ctx context.Context, o order) error { return eventbus.Publish(ctx, bus, invoice{o.ID, o.N}) })
			}),
			fxmodule.HandleFunc(func(_ context.Context, i invoice) error { billed = append(billed, i); return nil }))
		s.publish(t, "a")
		if !slices.Equal(billed, []invoice{{"a", 0}}) {
			t.Errorf("billed %v", billed)
		}
	})
}
