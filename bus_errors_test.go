package eventbus_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport/memory"
)

func wantError(t *testing.T, err, target error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", texts)
	}
	if target != nil && !errors.Is(err, target) {
		t.Errorf("%v is not %v", err, target)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q lacks %q", err, text)
		}
	}
}

func TestConfigNamesEveryWrongField(t *testing.T) {
	_, err := eventbus.New(memory.New(), eventbus.Config{
		Service: "sales api", DrainTimeout: -time.Second, SessionTimeout: 3 * time.Second, HeartbeatInterval: 2 * time.Second, Source: "%zz",
		FetchBytes: -1, Bounds: eventbus.Bounds{Records: -1, Bytes: -2, MinRecords: -3, ParkedKeys: -4}, AutoProvision: 3,
		CommitInterval: 5, RebalanceTimeout: math.MaxInt64, HandlerGrace: 1, Topics: []eventbus.AnyTopic{(*eventbus.Topic[order])(nil)},
	})
	if strings.Contains(err.Error(), "HandlerGrace") {
		t.Error(err)
	}
	wantError(t, err, nil, "CommitInterval is 5ns: use a millisecond or more; a number without a unit counts nanoseconds", "RebalanceTimeout is 2562047h47m16.854775807s: Kafka allows at most 596h31m23.647s", "FetchBytes is -1", "Bounds.Records is -1", "Bounds.Bytes is -2", "Bounds.MinRecords is -3", "Bounds.ParkedKeys is -4", "AutoProvision is 3", "topic 1 of Topics is nil",
		"eventbus: configure", `Service "sales api"`, "Environment is empty", `Source "%zz" is not a URI-reference (RFC 3986): write a URI such as "urn:sales-api"`, "DrainTimeout is -1s", "HeartbeatInterval is 2s: at most a third")
}

// A nil argument is reported, by calls with and without an error result. A nil option is
// ignored, so that a condition can leave one out.
func TestNil(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		_, err := eventbus.New(nil, config())
		wantError(t, err, nil, "the transport is nil")
		bus, topic := newBus(t, cluster, config()), orders(t)
		for name, declare := range map[string]func(){
			"bus":   func() { eventbus.NewPublisher(nil, topic) },
			"topic": func() { eventbus.NewPublisher[order](bus, nil) },
		} {
			func() {
				defer func() {
					if text, _ := recover().(string); !strings.Contains(text, "eventbus.NewPublisher: the bus or the topic is nil") {
						t.Errorf("%s: %s", name, text)
					}
				}()
				declare()
			}()
		}
		p := eventbus.NewPublisher(bus, topic)
		must(t, p.PublishWith(t.Context(), order{"a", 1}, nil, eventbus.WithSubject("s"), nil))
		must(t, p.PublishBatch(t.Context(), []order{{"a", 2}}, nil))
		if _, err := topic.Encode(order{"a", 3}, nil); err != nil {
			t.Error(err)
		}
		closeBus(t, bus)
	})
}

// TestExistingTopicMissing: AutoProvision doesn't create topics that have only an
// Address, so the error suggests checking the name instead.
func TestExistingTopicMissing(t *testing.T) {
	for name, c := range map[string]struct {
		provision eventbus.Provisioning
		want      string
	}{
		"provisioning on":  {eventbus.ProvisionAlways, "auto-creation is disabled: create legacy; legacy is an Address without Create"},
		"provisioning off": {eventbus.ProvisionNever, "legacy.sales-api-test.dlq, legacy.sales-api-test.retry, or set AutoProvision; legacy is an Address without Create"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, cluster *memory.Cluster) {
				cfg := config()
				cfg.AutoProvision = c.provision
				bus, topic := newBus(t, cluster, cfg), eventbus.NewTopic(eventbus.TopicConfig[order]{Address: "legacy"})
				must(t, eventbus.Subscribe(bus, topic, func(context.Context, order) error { return nil }))
				wantError(t, bus.Start(t.Context()), eventbus.ErrTopicMissing, c.want)
				closeBus(t, bus)
			})
		})
	}
}

func TestTopicMissingWithProvisioningOff(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		c := config()
		c.AutoProvision = eventbus.ProvisionNever
		bus, topic := newBus(t, cluster, c), orders(t)
		must(t, eventbus.Subscribe(bus, topic, func(context.Context, order) error { return nil }))
		wantError(t, bus.Start(t.Context()), eventbus.ErrTopicMissing,
			"topics do not exist and auto-creation is disabled", ordersName+", "+ordersName+".sales-api-test.dlq, "+ordersName+".sales-api-test.retry", "AutoProvision")
		err := eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"a", 1})
		wantError(t, err, eventbus.ErrTopicMissing, "eventbus: publish "+ordersName+" (event 0", "topic does not exist and auto-creation is disabled")
		closeBus(t, bus)
	})
}

func TestProductionDoesNotProvision(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		c := config()
		c.Environment = "Production"
		bus, topic := newBus(t, cluster, c), orders(t)
		wantError(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"a", 1}), eventbus.ErrTopicMissing, "prod.sales.public.orders.v1")
		closeBus(t, bus)
	})
}

func TestTwoTopicsWithOneNameAndType(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, first, second := newBus(t, cluster, config()), orders(t), orders(t)
		must(t, eventbus.NewPublisher(bus, first).Publish(t.Context(), order{"a", 1}))
		p := eventbus.NewPublisher(bus, second)
		const text = "with type order is declared twice"
		wantError(t, p.Publish(t.Context(), order{"a", 1}), nil, text, "share one Topic")
		wantError(t, eventbus.Subscribe(bus, second, func(context.Context, order) error { return nil }), nil, text)
		wantError(t, bus.Start(t.Context()), nil, text)
		closeBus(t, bus)
	})
}

func TestSubscriptionsThatCanNotBeHad(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		handler := func(context.Context, order) error { return nil }
		must(t, eventbus.Subscribe(bus, topic, handler, eventbus.StartAt(eventbus.Latest())))
		wantError(t, eventbus.Subscribe(bus, topic, handler), nil, `group "sales-api-test" handles`, "Group(name)")
		must(t, eventbus.Subscribe(bus, topic, handler, eventbus.Group("audit")))
		wantError(t, eventbus.Subscribe(bus, topic, handler, eventbus.Group("zero"), eventbus.Concurrency(0), eventbus.BatchSize(-1), eventbus.WhenOutOfRange(3), eventbus.Timeout(30)), nil, "Timeout(30ns): use a millisecond or more", "Concurrency(0)", "BatchSize(-1)", "WhenOutOfRange(3)")
		other := eventbus.NewTopic(eventbus.TopicConfig[order]{Domain: "sales", Name: "order", Plural: true, Type: "Other"})
		wantError(t, eventbus.Subscribe(bus, other, handler, eventbus.StartAt(eventbus.Earliest())), nil, "StartAt is latest", "earliest")
		six := eventbus.NewTopic(eventbus.TopicConfig[order]{Domain: "sales", Name: "order", Plural: true, Type: "Six", Partitions: 6})
		wantError(t, eventbus.Subscribe(bus, six, handler), nil, "Partitions is 3", "6 for Six")
		wantError(t, bus.Add(eventbus.Subscription{}), nil, "the zero Subscription")
		closeBus(t, bus)
	})
}

// TestRefusedAddChangesNothing: if one subscription of an Add is refused, none of the
// others is added, nor their topics, groups and breakers.
func TestRefusedAddChangesNothing(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		handler := func(context.Context, order) error { return nil }
		other := eventbus.NewTopic(eventbus.TopicConfig[order]{Domain: "sales", Name: "other"})
		stranger := eventbus.NewTopic(eventbus.TopicConfig[order]{Domain: "sales", Name: "stranger"})
		must(t, bus.Add(eventbus.On(topic, handler, eventbus.Ordered(eventbus.ByPartition))))
		for range 2 {
			wantError(t, bus.Add(
				eventbus.On(other, handler, eventbus.Ordered(eventbus.ByPartition), eventbus.SharedBreaker("db", resilience.BreakerConfig{Disabled: true})),
				eventbus.OnDelete[order](other, func(context.Context, string) error { return nil }),
				eventbus.On(topic, handler, eventbus.Group("audit")),
				eventbus.On(topic, handler),
				eventbus.On(stranger, handler, eventbus.Concurrency(0)),
			), nil, `group "sales-api-test" handles`, "Concurrency(0)")
		}
		must(t, bus.Add(eventbus.On(other, handler, eventbus.Ordered(eventbus.ByKey)), eventbus.OnDelete[order](other, func(context.Context, string) error { return nil })))
		start(t, bus)
		var names []string
		for _, name := range cluster.Topics() {
			names = append(names, strings.TrimPrefix(name, "test.sales.public."))
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != "orders.v1 orders.v1.sales-api-test.dlq orders.v1.sales-api-test.retry other.v1 other.v1.sales-api-test.dlq other.v1.sales-api-test.retry" {
			t.Errorf("topics %s", got)
		}
		closeBus(t, bus)
	})
}

// TestNamesThatCollide: Kafka treats '.' and '_' in names of topics as the same
// character. The second declaration is refused by name; the first works.
func TestNamesThatCollide(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		handler := func(context.Context, order) error { return nil }
		second := eventbus.NewTopic(eventbus.TopicConfig[order]{Domain: "sales", Name: "orders_v1", Unversioned: true})
		innocent := eventbus.NewTopic(eventbus.TopicConfig[order]{Domain: "sales", Name: "innocent"})
		must(t, eventbus.Subscribe(bus, topic, handler))
		const text = `topic "test.sales.public.orders_v1" differs from "test.sales.public.orders.v1", which the bus has`
		wantError(t, eventbus.Subscribe(bus, second, handler), nil, text)
		must(t, eventbus.Subscribe(bus, innocent, handler))
		must(t, eventbus.Subscribe(bus, topic, handler, eventbus.Group("a.b")))
		wantError(t, eventbus.Subscribe(bus, topic, handler, eventbus.Group("a_b")), nil, `topic "test.sales.public.orders.v1.a_b.dlq" differs from "test.sales.public.orders.v1.a.b.dlq"`)
		start(t, bus)
		closeBus(t, bus)
	})
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus := newBus(t, cluster, config())
		first := eventbus.NewPublisher(bus, orders(t))
		second := eventbus.NewPublisher(bus, eventbus.NewTopic(eventbus.TopicConfig[order]{Domain: "sales", Name: "orders_v1", Unversioned: true}))
		innocent := eventbus.NewPublisher(bus, eventbus.NewTopic(eventbus.TopicConfig[order]{Domain: "sales", Name: "innocent"}))
		must(t, first.Publish(t.Context(), order{"a", 1}))
		must(t, innocent.Publish(t.Context(), order{"a", 1}))
		wantError(t, second.Publish(t.Context(), order{"a", 1}), nil, "which the bus has")
		wantError(t, bus.Start(t.Context()), nil, "which the bus has")
		closeBus(t, bus)
	})
}

// TestEventsWithoutAKeyAreNoted: a forgotten tag costs the order of events, so the bus
// logs once that a topic's events have no key, unless that is intended.
func TestEventsWithoutAKeyAreNoted(t *testing.T) {
	type keyless struct{ Name string }
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		var book logbook
		c := config()
		c.Logger = book.logger(slog.LevelInfo)
		bus := newBus(t, cluster, c)
		forgotten := eventbus.NewTopic(eventbus.TopicConfig[keyless]{Domain: "sales", Name: "forgotten"})
		for range 3 {
			must(t, eventbus.NewPublisher(bus, forgotten).Publish(t.Context(), keyless{}))
		}
		eventbus.NewPublisher(bus, eventbus.NewTopic(eventbus.TopicConfig[keyless]{Domain: "sales", Name: "meant", Unkeyed: true}))
		eventbus.NewPublisher(bus, orders(t))
		closeBus(t, bus)
		if text := book.String(); strings.Count(text, "no key") != 1 || !strings.Contains(text, "forgotten.v1") {
			t.Error(text)
		}
	})
}

// looking is a log handler that inspects the bus that logs.
type looking struct {
	slog.Handler
	bus *eventbus.Bus
}

func (l *looking) Handle(context.Context, slog.Record) error {
	l.bus.Operator().Inspect()
	return nil
}

// TestLogHandlerLooksAtTheBus: creating a publisher logs without holding a lock.
func TestLogHandlerLooksAtTheBus(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		c := config()
		handler := &looking{Handler: slog.Default().Handler()}
		c.Logger = slog.New(handler)
		handler.bus = newBus(t, cluster, c)
		eventbus.NewPublisher(handler.bus, eventbus.NewTopic(eventbus.TopicConfig[string]{Domain: "sales", Name: "note", Type: "Noted"}))
		closeBus(t, handler.bus)
	})
}

func TestTooLarge(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		c := config()
		c.Producer.BatchBytes = 1000
		bus, topic := newBus(t, cluster, c), orders(t)
		p := eventbus.NewPublisher(bus, topic)
		err := p.Publish(t.Context(), order{strings.Repeat("x", 2000), 1})
		wantError(t, err, eventbus.ErrTooLarge, "1000")
		var e *eventbus.Error
		if !errors.As(err, &e) || errors.Is(err, eventbus.ErrOutcomeUnknown) || e.EventID == "" {
			t.Errorf("%+v", e)
		}
		must(t, p.Publish(t.Context(), order{"small", 1}))
		closeBus(t, bus)
	})
}

func TestValueThatCanNotBeEncoded(t *testing.T) {
	type bad struct {
		Callback func() `json:"callback"`
	}
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus := newBus(t, cluster, config())
		topic := eventbus.NewTopic(eventbus.TopicConfig[bad]{Domain: "sales", Name: "bad"})
		wantError(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), bad{func() {}}), eventbus.ErrSerialization, "CloudEvent serialization failed", "bad", "allback")
		closeBus(t, bus)
	})
}

func TestPublishAfterClose(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		p := eventbus.NewPublisher(bus, topic)
		must(t, p.Publish(t.Context(), order{"a", 1}))
		closeBus(t, bus)
		wantError(t, p.Publish(t.Context(), order{"a", 2}), eventbus.ErrClosed)
		if _, err := p.PublishAsync(t.Context(), order{"a", 3}).Wait(t.Context()); !errors.Is(err, eventbus.ErrClosed) {
			t.Error(err)
		}
		wantError(t, bus.Start(t.Context()), eventbus.ErrClosed)
		closeBus(t, bus)
	})
}

func TestUnreachableAtStart(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		cluster.Disconnect()
		c := config()
		bus, topic := newBus(t, cluster, c), orders(t)
		must(t, eventbus.Subscribe(bus, topic, func(context.Context, order) error { return nil }))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		wantError(t, bus.Start(ctx), nil, "eventbus: start")
		if h := bus.Health(t.Context()); h.Status != eventbus.Unhealthy || h.Ready || !h.Live || h.Checks["kafka"].Error == "" {
			t.Errorf("%+v", h)
		}
		cluster.Reconnect()
		must(t, bus.Start(t.Context()))
		synctest.Wait()
		if h := bus.Health(t.Context()); h.Status != eventbus.Healthy || !h.Ready {
			t.Errorf("%+v", h)
		}
		closeBus(t, bus)
	})
}

func TestStartDegraded(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		cluster.Disconnect()
		c := config()
		c.StartDegraded = true
		bus, topic := newBus(t, cluster, c), orders(t)
		var s story
		must(t, eventbus.Subscribe(bus, topic, func(_ context.Context, o order) error { s.add("%s%d", o.ID, o.Seq); return nil }))
		must(t, bus.Start(t.Context()))
		if h := bus.Health(t.Context()); h.Ready || !h.Live {
			t.Errorf("%+v", h)
		}
		cluster.Reconnect()
		pass(time.Minute)
		must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"a", 1}))
		pass(time.Minute)
		if s.String() != "a1" || !bus.Health(t.Context()).Ready {
			t.Errorf("%s, %+v", s.String(), bus.Health(t.Context()))
		}
		closeBus(t, bus)
	})
}
