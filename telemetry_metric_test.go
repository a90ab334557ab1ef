package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport/memory"
	"go.opentelemetry.io/otel/attribute"
)

// everythingMeasured runs a bus in a bubble until every metric has measured
// something. finish closes it.
func everythingMeasured(t *testing.T, cluster *memory.Cluster, c eventbus.Config) (finish func()) {
	t.Helper()
	topic := orders(t)
	bus := newBus(t, cluster, c)
	block := make(chan struct{})
	if err := eventbus.Subscribe(bus, topic, func(ctx context.Context, o order) error {
		d, _ := eventbus.DeliveryFrom(ctx)
		switch {
		case o.ID == "slow":
			<-block
		case o.ID == "poison":
			return eventbus.Permanent(errBoom)
		case o.ID == "trifle":
			return eventbus.Discard(errBoom)
		case o.ID == "parked" || o.ID == "shaky" && d.Attempt == 1:
			return eventbus.RetryAfter(time.Hour, errBoom)
		}
		return nil
	}, eventbus.Retry(resilience.Unlimited()), eventbus.Breaker(resilience.BreakerConfig{MinKeys: 2, MinAttempts: 2, Ratio: 0.1, After: -1, OpenFor: time.Second, Probes: 1})); err != nil {
		t.Fatal(err)
	}
	other := eventbus.NewTopic(eventbus.TopicConfig[shipment]{Domain: "sales", Name: "order", Plural: true, Type: "Unheard"})
	start(t, bus)
	p := eventbus.NewPublisher(bus, topic)
	for _, id := range []string{"fine", "slow", "poison", "trifle", "shaky", "parked"} {
		if err := p.Publish(t.Context(), order{ID: id}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
	}
	if err := eventbus.NewPublisher(bus, other).Publish(t.Context(), shipment{"x"}); err != nil {
		t.Fatal(err)
	}
	cluster.FailProduces(ordersName, 1, errBoom)
	if err := p.Publish(t.Context(), order{ID: "fine"}); err == nil {
		t.Fatal("the fault did not show")
	}
	time.Sleep(30 * time.Second)
	synctest.Wait()
	return func() {
		close(block)
		closeBus(t, bus)
	}
}

// TestMetrics: every metric of the list is exported, and no other, and their values
// are right.
func TestMetrics(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		l := newListener()
		finish := everythingMeasured(t, cluster, l.config("sales-api"))
		points := l.collect(t)
		names := slices.Sorted(maps.Keys(points))
		var want []string
		for _, m := range telemetry.Metrics() {
			want = append(want, m.Name)
		}
		slices.Sort(want)
		if !slices.Equal(names, want) {
			t.Errorf("exported:\n%s\nlisted:\n%s", strings.Join(names, "\n"), strings.Join(want, "\n"))
		}

		const group = "sales-api-test"
		here := map[attribute.Key]string{"messaging.destination.name": ordersName}
		for _, m := range []struct {
			name string
			with map[attribute.Key]string
			want float64
		}{
			{"messaging.client.sent.messages", map[attribute.Key]string{"messaging.destination.name": ordersName, "messaging.operation.name": "send"}, 8},
			{"messaging.client.sent.messages", map[attribute.Key]string{"messaging.destination.name": ordersName, "error.type": "_OTHER"}, 1},
			{"messaging.client.operation.duration", map[attribute.Key]string{"messaging.destination.name": ordersName, "messaging.operation.type": "send"}, 8},
			{"messaging.client.consumed.messages", map[attribute.Key]string{"messaging.consumer.group.name": group, "messaging.operation.name": "poll"}, 7},
			{"messaging.process.duration", map[attribute.Key]string{"messaging.consumer.group.name": group, "error.type": "_OTHER"}, 3},
			{"messaging.process.duration", map[attribute.Key]string{"error.type": "permanent"}, 1},
			{"messaging.process.duration", here, 5},
			{"eventbus.publish.pending.count", nil, 0},
			{"eventbus.publish.pending.size", nil, 0},
			{"eventbus.retries", here, 0},
			{"eventbus.dead_letters", map[attribute.Key]string{"eventbus.dead_letter.reason": "permanent"}, 1},
			{"eventbus.discarded", here, 1},
			{"eventbus.skipped", map[attribute.Key]string{"eventbus.skip.reason": "unknown-type", "cloudevents.event_type": "Unheard"}, 1},
			{"eventbus.handlers.running", map[attribute.Key]string{"messaging.consumer.group.name": group}, 1},
			{"eventbus.buffer.count", map[attribute.Key]string{"messaging.consumer.group.name": group}, 3},
			{"eventbus.parked.count", here, 2},
			{"eventbus.partition.lag", here, 3},
			{"eventbus.group.partitions", nil, 6},
			{"eventbus.breaker.transitions", map[attribute.Key]string{"eventbus.breaker.state": "open"}, 1},
			{"eventbus.breaker.state", map[attribute.Key]string{"eventbus.breaker.name": group + " sales.public.orders.v1 order"}, 2},
		} {
			if got := sum(points[m.name], m.with); got != m.want {
				t.Errorf("%s %v is %v, want %v", m.name, m.with, got, m.want)
			}
		}
		if got := sum(points["eventbus.partition.oldest.age"], here); got < 80 || got > 100 {
			t.Errorf("three events of 30 s and less: %v s together", got)
		}
		for _, name := range []string{"messaging.client.operation.duration", "messaging.process.duration"} {
			if got := points[name][0].bounds; len(got) != 14 || got[0] != 0.005 || got[13] != 10 {
				t.Errorf("buckets of %s: %v", name, got)
			}
		}
		for name, of := range points {
			for _, p := range of {
				if !p.has("messaging.system", "kafka") || !p.has("eventbus.cluster", "kafka") {
					t.Errorf("%s %v names neither system nor cluster", name, p.attributes.Encoded(attribute.DefaultEncoder()))
				}
			}
		}
		finish()
		if left := l.collect(t)["eventbus.group.partitions"]; len(left) != 0 {
			t.Errorf("a closed bus is still observed: %v", left)
		}
	})
}

// TestMetricsAreExplained: the operators' handbook explains each of our metrics, and
// when to look at it.
func TestMetricsAreExplained(t *testing.T) {
	handbook, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range telemetry.Metrics() {
		if strings.HasPrefix(m.Name, "eventbus.") && !strings.Contains(string(handbook), "`"+m.Name+"`") {
			t.Errorf("docs/operations.md does not name %s", m.Name)
		}
	}
}

// TestMetricsAreBounded: whatever comes in, the number of time series depends only
// on those of topics, partitions, groups and reasons.
func TestMetricsAreBounded(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		l, topic := newListener(), orders(t)
		bus := newBus(t, cluster, l.config("sales-api"))
		if err := eventbus.Subscribe(bus, topic, func(_ context.Context, o order) error {
			return eventbus.Permanent(errors.New("no " + o.ID))
		}); err != nil {
			t.Fatal(err)
		}
		start(t, bus)
		p := eventbus.NewPublisher(bus, topic)
		const events = 500
		for i := range events {
			if err := p.Publish(t.Context(), order{ID: fmt.Sprintf("marked-%d", i)}); err != nil {
				t.Fatal(err)
			}
			e, err := topic.Encode(order{ID: "x"}, eventbus.WithID(fmt.Sprintf("marked-%d", i)))
			if err != nil {
				t.Fatal(err)
			}
			e.Topic, e.Source, e.Type = ordersName, "urn:marked", fmt.Sprintf("Type%d", i)
			if err := bus.PublishEnvelope(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		points := l.collect(t)
		if got := sum(points["eventbus.dead_letters"], nil); got != events {
			t.Errorf("%v dead letters", got)
		}
		if got := sum(points["eventbus.skipped"], nil); got != events {
			t.Errorf("%v skipped", got)
		}
		for name, of := range points {
			if len(of) > 40 {
				t.Errorf("%s has %d time series", name, len(of))
			}
			for _, p := range of {
				if all := p.attributes.Encoded(attribute.DefaultEncoder()); strings.Contains(all, "marked") {
					t.Errorf("%s %s names an event", name, all)
				}
			}
		}
		closeBus(t, bus)
	})
}
