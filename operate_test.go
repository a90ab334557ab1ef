package eventbus_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// TestPause pauses a subscription, which health shows but never counts as a fault, and
// resumes it.
func TestPause(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic, seen := newBus(t, cluster, config()), orders(t), &story{}
		if err := eventbus.Subscribe(bus, topic, func(_ context.Context, o order) error {
			seen.add("%s", o.ID)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		name := bus.Operator().Inspect().Groups[0].Subscriptions[0].Name
		if err := bus.Operator().Pause(ordersGroup, name); err != nil {
			t.Fatal(err)
		}
		if g := bus.Operator().Inspect().Groups[0]; g.State != "not started" || !g.Subscriptions[0].Paused {
			t.Errorf("before the start: %+v", g)
		}
		start(t, bus)
		if err := eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		g := bus.Operator().Inspect().Groups[0]
		i := slices.IndexFunc(g.Partitions, func(p eventbus.PartitionInspection) bool { return p.Records == 1 })
		if i < 0 || !g.Joined || !g.Alive || g.Records != 1 {
			t.Fatalf("nothing waits: %+v", g)
		}
		if p := g.Partitions[i]; p.Lag != 1 || p.Lanes != 1 || p.Running != 0 || p.StalledMs < time.Hour.Milliseconds() {
			t.Errorf("waiting: %+v", p)
		}
		h := bus.Health(t.Context())
		if h.Status != eventbus.Degraded || !h.Ready || !strings.Contains(h.Checks["group "+ordersGroup].Error, "an operator has paused") {
			t.Errorf("health: %+v", h)
		}
		if seen.String() != "" {
			t.Error("handled while paused")
		}
		for range 2 { // again is not an error
			if err := bus.Operator().Resume(ordersGroup, name); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if got := seen.String(); got != "a" || bus.Health(t.Context()).Status != eventbus.Healthy {
			t.Errorf("after it: handled %v", got)
		}
		closeBus(t, bus)
		if err := bus.Operator().Pause(ordersGroup, name); !errors.Is(err, eventbus.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// TestUnpark retries a waiting key at once.
func TestUnpark(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		attempts := 0
		if err := eventbus.Subscribe(bus, topic, func(context.Context, order) error {
			if attempts++; attempts == 1 {
				return eventbus.RetryAfter(time.Hour, errBoom)
			}
			return nil
		}, eventbus.Retry(resilience.Retry{Elapsed: 2 * time.Hour})); err != nil {
			t.Fatal(err)
		}
		if err := bus.Operator().Unpark(ordersGroup, ordersName, 0, []byte("a")); err == nil || errors.Is(err, eventbus.ErrNotFound) {
			t.Errorf("before the start: %v", err)
		}
		start(t, bus)
		if err := eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		var at eventbus.PartitionInspection
		for _, p := range bus.Operator().Inspect().Groups[0].Partitions {
			if p.ParkedKeys > 0 {
				at = p
			}
		}
		if len(at.Parked) != 1 || at.Parked[0].Key != "a" || at.Parked[0].State != "retry" || at.Parked[0].Attempts != 1 || at.Parked[0].Error != "boom" {
			t.Fatalf("parked: %+v", at)
		}
		if err := bus.Operator().Unpark(ordersGroup, ordersName, at.Partition, []byte("b")); !errors.Is(err, eventbus.ErrNotFound) {
			t.Errorf("a key that does not wait: %v", err)
		}
		if err := bus.Operator().Unpark(ordersGroup, ordersName, at.Partition, []byte("a")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if attempts != 2 || bus.Operator().Inspect().Groups[0].ParkedKeys != 0 {
			t.Errorf("%d attempts", attempts)
		}
		closeBus(t, bus)
	})
}

// TestResumeBeforeTheStart: a subscription with a shared breaker has none before the
// start, and can still be paused and resumed.
func TestResumeBeforeTheStart(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic, seen := newBus(t, cluster, config()), orders(t), &story{}
		must(t, eventbus.Subscribe(bus, topic, func(_ context.Context, o order) error {
			seen.add("%s", o.ID)
			return nil
		}, eventbus.SharedBreaker("payments", resilience.BreakerConfig{})))
		name := bus.Operator().Inspect().Groups[0].Subscriptions[0].Name
		must(t, bus.Operator().Pause(ordersGroup, name))
		must(t, bus.Operator().Resume(ordersGroup, name))
		start(t, bus)
		must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{ID: "a"}))
		pass(time.Second)
		if seen.String() != "a" {
			t.Errorf("handled %q", seen)
		}
		closeBus(t, bus)
	})
}

// TestSkipOfAnOperator skips an event that no handler here knows.
func TestSkipOfAnOperator(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		l, topic, seen := newListener(), orders(t), &story{}
		bus := newBus(t, cluster, l.config("sales-api"))
		if err := eventbus.Subscribe(bus, topic, func(_ context.Context, o order) error {
			seen.add("%s", o.ID)
			return nil
		}, eventbus.WhenUnknown(eventbus.FailUnknown)); err != nil {
			t.Fatal(err)
		}
		start(t, bus)
		stranger, err := topic.Encode(order{ID: "a"})
		if err != nil {
			t.Fatal(err)
		}
		stranger.Topic, stranger.Type, stranger.Source = ordersName, "OrderShredded", "urn:elsewhere"
		if err := bus.PublishEnvelope(t.Context(), stranger); err != nil {
			t.Fatal(err)
		}
		if err := eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		partition := int32(-1)
		for _, p := range bus.Operator().Inspect().Groups[0].Partitions {
			if len(p.Parked) == 1 && p.Parked[0].State == "held" {
				partition = p.Partition
			}
		}
		if seen.String() != "" || partition < 0 {
			t.Fatalf("handled %v, held in partition %d", seen, partition)
		}
		if err := bus.Operator().Skip(ordersGroup, ordersName, partition, 1); err == nil {
			t.Error("what waits behind it could be skipped")
		}
		if err := bus.Operator().Skip(ordersGroup, ordersName, partition, 0); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := seen.String(); got != "a" {
			t.Errorf("handled %v", got)
		}
		if n := sum(l.collect(t)["eventbus.skipped"], nil); n != 1 {
			t.Errorf("counted %v", n)
		}
		closeBus(t, bus)
	})
}

// TestOperateNames: errors distinguish what does not exist from what can't be done.
func TestOperateNames(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		if err := bus.Add(eventbus.On(topic, func(context.Context, order) error { return nil }),
			eventbus.OnDelete(topic, func(context.Context, string) error { return nil })); err != nil {
			t.Fatal(err)
		}
		start(t, bus)
		synctest.Wait()
		for what, err := range map[string]error{
			"group":              bus.Operator().Pause("nobody", "sales.public.orders.v1 order"),
			"subscription":       bus.Operator().Resume(ordersGroup, "sales.public.orders.v1 OrderShredded"),
			"group to unpark":    bus.Operator().Unpark("nobody", ordersName, 0, nil),
			"partition":          bus.Operator().Unpark(ordersGroup, ordersName, 7, nil),
			"offset to unpark":   bus.Operator().UnparkAt(ordersGroup, ordersName, 0, 0),
			"topic":              bus.Operator().Skip(ordersGroup, "test.sales.public.cats.v1", 0, 0),
			"group to skip in":   bus.Operator().Skip("nobody", ordersName, 0, 0),
			"offset not yet had": bus.Operator().Skip(ordersGroup, ordersName, 0, 0),
		} {
			var of *eventbus.Error
			if !errors.Is(err, eventbus.ErrNotFound) || !errors.As(err, &of) {
				t.Errorf("%s: %v", what, err)
			}
		}
		var names []string
		for _, s := range bus.Operator().Inspect().Groups[0].Subscriptions {
			names = append(names, s.Name+"/"+s.Topic+"/"+s.Type+"/"+s.Breaker)
		}
		if want := []string{"sales.public.orders.v1 order/" + ordersName + "/order/closed", "sales.public.orders.v1 tombstones/" + ordersName + "//closed"}; !slices.Equal(names, want) {
			t.Errorf("subscriptions %q", names)
		}
		closeBus(t, bus)
	})
	empty, err := json.Marshal(newBus(t, memory.New(), config()).Operator().Inspect())
	if err != nil || string(empty) != `{"service":"sales-api","groups":[],"openBrokers":[]}` {
		t.Errorf("%s, %v", empty, err)
	}
}
