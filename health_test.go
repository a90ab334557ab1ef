package eventbus_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport/memory"
	"go.opentelemetry.io/otel/attribute"
)

// reads is an expected report of health.
type reads struct {
	status      eventbus.HealthStatus
	live, ready bool
	says        string // in the text of the check of that name
	check       string
}

var well = reads{eventbus.Healthy, true, true, "", "group " + ordersGroup}

func (r reads) of(t *testing.T, when string, bus *eventbus.Bus) {
	t.Helper()
	h := bus.Health(t.Context())
	c := h.Checks[r.check]
	if h.Status != r.status || h.Live != r.live || h.Ready != r.ready || !strings.Contains(c.Error, r.says) || (r.says == "") != (c.Error == "") {
		t.Errorf("%s: %+v, want %+v", when, h, r)
	}
}

// TestHealthReadsRightly brings a bus into trouble, checks health soon and after
// StuckAfter, ends the trouble, and checks health again.
func TestHealthReadsRightly(t *testing.T) {
	const group = "group " + ordersGroup
	for _, c := range []struct {
		name       string
		options    []eventbus.SubscribeOption
		bounds     eventbus.Bounds
		trouble    func(*memory.Cluster)
		mended     func(*memory.Cluster)
		handle     func(context.Context) error // while the trouble lasts
		soon, late reads
	}{
		{
			name: "stalled handler", options: []eventbus.SubscribeOption{eventbus.Concurrency(1), eventbus.Timeout(time.Second)},
			handle: nil, // it never returns
			soon:   reads{eventbus.Unhealthy, true, false, "handlers ignore their timeout", group},
			late:   reads{eventbus.Unhealthy, true, false, "no progress for", group}, // others take its place: no restart
		},
		{
			name: "no free handler", options: []eventbus.SubscribeOption{eventbus.Concurrency(1), eventbus.Timeout(0)},
			handle: nil,
			soon:   reads{eventbus.Healthy, true, true, "", group},
			late:   reads{eventbus.Unhealthy, false, false, "find no free handler", group},
		},
		{
			name:    "dead broker",
			trouble: (*memory.Cluster).Disconnect, mended: (*memory.Cluster).Reconnect,
			handle: func(context.Context) error { return nil },
			soon:   reads{eventbus.Unhealthy, true, false, memory.ErrUnreachable.Error(), "kafka"},
			late:   reads{eventbus.Unhealthy, true, false, memory.ErrUnreachable.Error(), "kafka"},
		},
		{
			name: "open breaker", options: []eventbus.SubscribeOption{eventbus.Breaker(resilience.BreakerConfig{MinKeys: 3, MinAttempts: 3, After: -1})},
			handle: func(context.Context) error { return errBoom },
			soon:   reads{eventbus.Degraded, true, true, "circuit breaker is open", group},
			late:   reads{eventbus.Unhealthy, true, false, "circuit breaker is", group},
		},
		{
			name: "parked keys", options: []eventbus.SubscribeOption{eventbus.Breaker(resilience.BreakerConfig{Disabled: true})},
			handle: func(context.Context) error { return eventbus.RetryAfter(time.Minute, errBoom) },
			soon:   reads{eventbus.Degraded, true, true, "keys wait (retry)", group},
			late:   reads{eventbus.Unhealthy, true, false, "is the first unfinished (retry)", group},
		},
		{
			name: "full park", options: []eventbus.SubscribeOption{eventbus.Breaker(resilience.BreakerConfig{Disabled: true})},
			bounds: eventbus.Bounds{ParkedKeys: 2},
			handle: func(context.Context) error { return eventbus.RetryAfter(time.Minute, errBoom) },
			soon:   reads{eventbus.Degraded, true, true, "the room for waiting keys is full", group},
			late:   reads{eventbus.Unhealthy, true, false, "is the first unfinished (retry), and no more is fetched", group},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(t *testing.T, cluster *memory.Cluster) {
				settings := config()
				settings.StuckAfter, settings.Bounds = 10*time.Minute, c.bounds
				settings.Handling = []eventbus.SubscribeOption{eventbus.Retry(resilience.Retry{Attempts: 1 << 20, Elapsed: 24 * time.Hour, Initial: time.Minute})}
				bus, topic := newBus(t, cluster, settings), orders(t)
				var trouble atomic.Bool
				wake := make(chan struct{})
				must(t, eventbus.Subscribe(bus, topic, func(ctx context.Context, _ order) error {
					switch {
					case !trouble.Load():
						return nil
					case c.handle == nil:
						<-wake
						return nil
					}
					return c.handle(ctx)
				}, c.options...))
				start(t, bus)
				pass(time.Minute)
				well.of(t, "before", bus)

				trouble.Store(true)
				if c.trouble != nil {
					c.trouble(cluster)
				} else {
					must(t, eventbus.NewPublisher(bus, topic).PublishBatch(t.Context(), []order{{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}}))
				}
				pass(5 * time.Second)
				c.soon.of(t, "soon", bus)
				pass(15 * time.Minute)
				c.late.of(t, "late", bus)

				trouble.Store(false)
				close(wake)
				if c.mended != nil {
					c.mended(cluster)
				}
				pass(5 * time.Minute)
				well.of(t, "afterwards", bus)
				closeBus(t, bus)
			})
		})
	}
}

// TestIdlePartitionsHaveALag: the lag of a partition without new records is 0, not
// unknown.
func TestIdlePartitionsHaveALag(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		must(t, eventbus.Subscribe(bus, topic, func(context.Context, order) error { return nil }))
		start(t, bus)
		must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"a", 1}))
		pass(time.Second)
		partitions := bus.Operator().Inspect().Groups[0].Partitions
		for _, p := range partitions {
			if p.Lag != 0 {
				t.Errorf("%s/%d is %d behind", p.Topic, p.Partition, p.Lag)
			}
		}
		if len(partitions) < 4 {
			t.Errorf("%d partitions", len(partitions))
		}
		closeBus(t, bus)
	})
}

// TestHealthOfAStandby: a member without partitions is as healthy as those that
// have some, and takes over when they leave.
func TestHealthOfAStandby(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		topic := shipments(t) // with one partition, followed by its retry topic's: enough for one member
		var owners []*eventbus.Bus
		var standby *eventbus.Bus
		for range 2 {
			bus := newBus(t, cluster, config())
			must(t, eventbus.Subscribe(bus, topic, func(context.Context, shipment) error { return nil }))
			start(t, bus)
			synctest.Wait()
			owners = append(owners, bus)
		}
		pass(time.Hour)
		owners = slices.DeleteFunc(owners, func(bus *eventbus.Bus) bool {
			idle := len(bus.Operator().Inspect().Groups[0].Partitions) == 0
			if idle {
				standby = bus
			}
			well.of(t, map[bool]string{true: "the standby", false: "an owner"}[idle], bus)
			return idle
		})
		if len(owners) != 1 {
			t.Fatalf("%d members have partitions, want 1", len(owners))
		}
		for _, bus := range owners {
			must(t, bus.Drain(t.Context())) // closing it would end the cluster that they share
		}
		pass(time.Minute)
		if n := len(standby.Operator().Inspect().Groups[0].Partitions); n != 2 {
			t.Errorf("the standby took over %d partitions, want 2", n)
		}
		well.of(t, "as the new owner", standby)
		for _, bus := range append(owners, standby) {
			closeBus(t, bus)
		}
	})
}

// TestHealthOfRefusedEvents: health shows events that the bus refuses for a minute, with
// the reason, and a metric counts them.
func TestHealthOfRefusedEvents(t *testing.T) {
	for reason, refuse := range map[string]func(*testing.T, *memory.Cluster, *eventbus.Publisher[order]) error{
		"circuit_open": func(t *testing.T, cluster *memory.Cluster, p *eventbus.Publisher[order]) error {
			cluster.FailProduces(ordersName, 1<<20, errBoom)
			for range 5 {
				_ = p.Publish(t.Context(), order{"a", 1})
			}
			cluster.StopProduceFaults(ordersName)
			return p.Publish(t.Context(), order{"a", 2})
		},
		"buffer_full": func(t *testing.T, cluster *memory.Cluster, p *eventbus.Publisher[order]) error {
			release := cluster.HoldAcknowledgements(ordersName)
			defer release()
			p.PublishAsync(t.Context(), order{"a", 1})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return p.Publish(ctx, order{"a", 2})
		},
	} {
		t.Run(reason, func(t *testing.T) {
			run(t, func(t *testing.T, cluster *memory.Cluster) {
				l := newListener()
				c := l.config("sales-api")
				c.Producer.BufferRecords = 1
				c.PublishBreaker.OpenFor = time.Second
				bus := newBus(t, cluster, c)
				p := eventbus.NewPublisher(bus, orders(t))
				must(t, p.Publish(t.Context(), order{"a", 0}))
				refused := map[attribute.Key]string{"error.type": reason}
				if points := l.collect(t)["eventbus.publish.refused"]; sum(points, refused) != 0 || len(points) < 2 {
					t.Errorf("refused before: %v", points)
				}
				err := refuse(t, cluster, p)
				want := map[string]error{"circuit_open": eventbus.ErrCircuitOpen, "buffer_full": eventbus.ErrBufferFull}[reason]
				wantError(t, err, want)
				if reason == "buffer_full" {
					wantError(t, err, context.DeadlineExceeded)
				}
				reads{eventbus.Degraded, true, true, "1 events were refused, the last one 0s ago: " + reason, "publishing"}.of(t, "soon", bus)
				if n := sum(l.collect(t)["eventbus.publish.refused"], refused); n != 1 {
					t.Errorf("%v are counted as refused", n)
				}
				pass(59 * time.Second)
				reads{eventbus.Degraded, true, true, "the last one 59s ago", "publishing"}.of(t, "later", bus)
				must(t, p.Publish(t.Context(), order{"a", 3}))
				pass(2 * time.Second)
				reads{eventbus.Healthy, true, true, "", "publishing"}.of(t, "afterwards", bus)
				closeBus(t, bus)
			})
		})
	}
}

// TestHealthOfLoweredConcurrency: health shows that a breaker lowers the concurrency,
// before it opens, and when that ends.
func TestHealthOfLoweredConcurrency(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		l, topic := newListener(), orders(t)
		bus := newBus(t, cluster, l.config("sales-api"))
		var down atomic.Bool
		down.Store(true)
		must(t, eventbus.Subscribe(bus, topic, func(_ context.Context, o order) error {
			if down.Load() && o.Seq > 5 {
				return eventbus.RetryAfter(4*time.Second, errBoom)
			}
			return nil
		}, eventbus.Breaker(resilience.BreakerConfig{MinKeys: 5, Ratio: 1}), eventbus.Retry(resilience.Unlimited())))
		start(t, bus)
		p := eventbus.NewPublisher(bus, topic)
		publish := func() {
			for i := range 20 {
				must(t, p.Publish(t.Context(), order{string(rune('a' + i)), i}))
			}
			synctest.Wait()
		}
		withheld := func() float64 { return sum(l.collect(t)["eventbus.handlers.withheld"], nil) }
		publish()
		reads{eventbus.Degraded, true, true, "of 64 handlers run", "group " + ordersGroup}.of(t, "while most fail", bus)
		if n := withheld(); n <= 0 || n > 32 {
			t.Errorf("%v handlers are withheld", n)
		}
		down.Store(false)
		pass(5 * time.Second)
		publish()
		publish()
		if n := withheld(); n != 0 {
			t.Errorf("%v handlers are withheld while all works", n)
		}
		well.of(t, "afterwards", bus)
		closeBus(t, bus)
	})
}

// TestHealthOfARateLimit: an event that waits for the rate limit is late, but nothing is
// stuck.
func TestHealthOfARateLimit(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		settings := config()
		settings.StuckAfter = 4 * time.Second
		bus, topic := newBus(t, cluster, settings), orders(t)
		must(t, eventbus.Subscribe(bus, topic, func(context.Context, order) error { return nil }, eventbus.RateLimit(0.1, 1)))
		start(t, bus)
		must(t, eventbus.NewPublisher(bus, topic).PublishBatch(t.Context(), []order{{"a", 1}, {"a", 2}, {"b", 1}}))
		pass(8 * time.Second)
		reads{eventbus.Degraded, true, true, "waited for its turn within a RateLimit", "group " + ordersGroup}.of(t, "limited", bus)
		pass(time.Minute)
		well.of(t, "afterwards", bus)
		closeBus(t, bus)
	})
}
