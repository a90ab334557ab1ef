package eventbus_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/kafkatest/embedded"
)

// Two types of one topic: members of the older version of a service handle the
// first, members of the newer one both.
type (
	addressV2    struct{ ID string }
	addressMoved struct{ ID string }
)

// rollout is a service of which two versions run at once.
type rollout struct {
	t       *testing.T
	kafka   kafka.Config
	env     string
	v2      *eventbus.Topic[addressV2]
	moved   *eventbus.Topic[addressMoved]
	mu      sync.Mutex
	handled map[string]int // by type and id
	changed chan struct{}
}

func newRollout(t *testing.T, config kafka.Config) *rollout {
	r := &rollout{t: t, kafka: config, env: "roll-" + strings.ToLower(rand.Text()[:8]), handled: make(map[string]int), changed: make(chan struct{}, 1)}
	r.v2 = eventbus.NewTopic(eventbus.TopicConfig[addressV2]{
		Domain: "sales", Name: "address", Partitions: 6, Key: func(e addressV2) string { return e.ID[:3] },
	})
	r.moved = eventbus.NewTopic(eventbus.TopicConfig[addressMoved]{
		Domain: "sales", Name: "address", Partitions: 6, Key: func(e addressMoved) string { return e.ID[:3] },
	})
	return r
}

func (r *rollout) note(event string) error {
	r.mu.Lock()
	r.handled[event]++
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default:
	}
	return nil
}

func (r *rollout) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.handled)
}

func (r *rollout) onV2() eventbus.Subscription {
	return eventbus.On(r.v2, func(_ context.Context, e addressV2) error { return r.note("V2 " + e.ID) })
}

func (r *rollout) onMoved() eventbus.Subscription {
	return eventbus.On(r.moved, func(_ context.Context, e addressMoved) error { return r.note("Moved " + e.ID) })
}

// start starts a member, and waits until the group is stable.
func (r *rollout) start(grace time.Duration, before []*eventbus.Bus, subscriptions ...eventbus.Subscription) *eventbus.Bus {
	r.t.Helper()
	bus, err := eventbus.New(kafka.New(r.kafka), eventbus.Config{
		Service: "rolling", Environment: r.env, AutoProvision: eventbus.ProvisionAlways, Logger: slog.New(slog.DiscardHandler),
		HeartbeatInterval: 300 * time.Millisecond, SessionTimeout: 6 * time.Second, HandlerGrace: grace,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := bus.Add(subscriptions...); err != nil {
		r.t.Fatal(err)
	}
	if err := bus.Start(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { r.stop(bus) })
	members := append([]*eventbus.Bus{bus}, before...)
	r.until("every member has its share", func() bool {
		partitions := 0
		for _, b := range members {
			g := b.Operator().Inspect().Groups[0]
			if g.State != "stable" || len(g.Partitions) == 0 {
				return false
			}
			partitions += len(g.Partitions)
		}
		return partitions == 12 // with the retry topic's
	})
	return bus
}

func (r *rollout) stop(bus *eventbus.Bus) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := bus.Close(ctx); err != nil {
		r.t.Errorf("closing a member: %v", err)
	}
}

func (r *rollout) until(what string, done func() bool) {
	r.t.Helper()
	over := time.After(time.Minute)
	for !done() {
		select {
		case <-over:
			r.t.Fatalf("%s: not within a minute; %d events handled", what, r.count())
		case <-r.changed:
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// publish publishes n events of each type, of thirty keys, in turn.
func (r *rollout) publish(bus *eventbus.Bus, from, n int) {
	r.t.Helper()
	v2, moved := eventbus.NewPublisher(bus, r.v2), eventbus.NewPublisher(bus, r.moved)
	var older []addressV2
	var newer []addressMoved
	for i := from; i < from+n; i++ {
		id := fmt.Sprintf("k%02d-%d", i%30, i)
		older, newer = append(older, addressV2{id}), append(newer, addressMoved{id})
	}
	if err := v2.PublishBatch(r.t.Context(), older); err != nil {
		r.t.Fatal(err)
	}
	if err := moved.PublishBatch(r.t.Context(), newer); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rollout) held(bus *eventbus.Bus) (keys int64) {
	for _, h := range bus.Operator().Inspect().Groups[0].Held {
		keys += h.Keys
	}
	return keys
}

// TestRollingDeployment: a deployment that adds the handler of a type, and one that
// removes it, lose no event, whichever protocol the group speaks.
func TestRollingDeployment(t *testing.T) {
	for name, config := range map[string]kafka.Config{
		"range":              {Balancer: "range"},
		"cooperative-sticky": {},
		"KIP-848":            {ConsumerProtocol: true},
	} {
		for where, open := range map[string]func(*testing.T) []string{"InProcess": inProcess, "Kafka": brokersNamed} {
			t.Run(name+"/"+where, func(t *testing.T) {
				config.Brokers = open(t)
				testRollingDeployment(t, newRollout(t, config))
			})
		}
	}
}

func inProcess(t *testing.T) []string {
	broker, err := embedded.Start(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	return broker.Brokers()
}

func brokersNamed(t *testing.T) []string {
	brokers := os.Getenv(kafkatest.BrokersVariable)
	if brokers == "" {
		t.Skipf("%s names no brokers", kafkatest.BrokersVariable)
	}
	return strings.Split(brokers, ",")
}

func testRollingDeployment(t *testing.T, r *rollout) {
	const n = 150 // of each type
	older := r.start(0, nil, r.onV2())
	newer := r.start(0, []*eventbus.Bus{older}, r.onV2(), r.onMoved())
	r.publish(newer, 0, n)
	// A coordinator of KIP-848 may assign a member only the retry topic's
	// partitions.
	r.until("all is handled but what the older member holds", func() bool { return r.held(older) > 0 || r.count() == 2*n })
	r.stop(older)
	r.until("all is handled", func() bool { return r.count() == 2*n })

	// The new version is rolled back: its last member leaves while events come.
	older = r.start(0, []*eventbus.Bus{newer}, r.onV2())
	r.publish(older, n, n)
	r.until("the older member holds some", func() bool { return r.held(older) > 0 || r.count() == 4*n })
	r.stop(newer)
	r.until("it holds all that was not handled", func() bool { return len(older.Operator().Inspect().Groups[0].Partitions) == 12 })
	newer = r.start(0, []*eventbus.Bus{older}, r.onV2(), r.onMoved())
	r.stop(older)
	r.until("all is handled", func() bool { return r.count() == 4*n })
	if held := newer.Operator().Inspect().Groups[0].Held; len(held) != 0 {
		t.Errorf("the member that knows every type holds %v", held)
	}

	// Its last handler leaves, and then every member that knew it.
	older = r.start(0, []*eventbus.Bus{newer}, r.onV2())
	r.stop(newer)
	another := r.start(0, []*eventbus.Bus{older}, r.onV2())
	r.stop(older)
	r.stop(another)
	older = r.start(0, nil, r.onV2())
	r.publish(older, 2*n, n)
	r.until("a member that never saw a handler holds them", func() bool { return r.held(older) == 30 && r.count() == 5*n })
	newer = r.start(0, []*eventbus.Bus{older}, r.onV2(), r.onMoved())
	r.stop(older)
	r.until("all is handled", func() bool { return r.count() == 6*n })
	if held := newer.Operator().Inspect().Groups[0].Held; len(held) != 0 {
		t.Errorf("the member that knows every type holds %v", held)
	}
}

// TestHeldTypesShow: inspection and health show the events that a member holds for
// another, and an operator can end that.
func TestHeldTypesShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.NewMemory(t)
		r := newRollout(t, kafka.Config{})
		older := cluster.Start(t, r.onV2())
		newer := cluster.Start(t, r.onV2(), r.onMoved())
		synctest.Wait()
		r.publish(newer, 0, 30)
		time.Sleep(time.Minute)
		g := older.Operator().Inspect().Groups[0]
		if len(g.Held) != 1 || g.Held[0].Type != "addressMoved" || !g.Held[0].Live || g.Held[0].Keys == 0 || g.Held[0].WaitingMs < 59_000 {
			t.Fatalf("the older member shows %+v", g.Held)
		}
		health := func(want eventbus.HealthStatus, says string) {
			t.Helper()
			if c := older.Health(t.Context()).Checks["group "+g.Name]; c.Status != want || !strings.Contains(c.Error, says) {
				t.Errorf("health is %s: %s", c.Status, c.Error)
			}
		}
		health(eventbus.Degraded, "holds an event of type addressMoved")
		time.Sleep(5 * time.Minute)
		health(eventbus.Unhealthy, "groups of their own")
		if held := newer.Operator().Inspect().Groups[0].Held; len(held) != 0 {
			t.Errorf("the newer member holds %+v", held)
		}
		if err := newer.Operator().ForgetType(g.Name, g.Held[0].Topic, "addressMoved"); !errors.Is(err, eventbus.ErrNotFound) {
			t.Errorf("forgetting what is not held: %v", err)
		}
		if err := older.Operator().ForgetType(g.Name, g.Held[0].Topic, "addressMoved"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		health(eventbus.Healthy, "")
		if held := older.Operator().Inspect().Groups[0].Held; len(held) != 0 || r.count() != 60-int(g.Held[0].Keys) {
			t.Errorf("holds %+v, %d events handled", held, r.count())
		}
	})
}
