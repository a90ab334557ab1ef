package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type order struct {
	ID  string `json:"id"`
	Seq int    `json:"seq"`
}

func orders(t *testing.T) *eventbus.Topic[order] {
	t.Helper()
	return eventbus.NewTopic(eventbus.TopicConfig[order]{
		Domain: "sales", Name: "order", Plural: true, Partitions: 3,
		Key: func(o order) string { return o.ID },
	})
}

// pass lets time pass in a bubble, and waits for everything that falls due.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func config() eventbus.Config {
	return eventbus.Config{
		Logger:  slog.New(slog.DiscardHandler),
		Service: "sales-api", Environment: "Test", Source: "urn:momentum:sales-api",
		Handling: []eventbus.SubscribeOption{eventbus.Retry(resilience.Retry{Attempts: 3, Initial: time.Second})},
	}
}

func newBus(t *testing.T, cluster transport.Transport, c eventbus.Config) *eventbus.Bus {
	t.Helper()
	bus, err := eventbus.New(cluster, c)
	if err != nil {
		t.Fatal(err)
	}
	return bus
}

func start(t *testing.T, bus *eventbus.Bus) {
	t.Helper()
	if err := bus.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func closeBus(t *testing.T, bus *eventbus.Bus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := bus.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// story records what handlers saw, in order.
type story struct {
	mu   sync.Mutex
	seen []string
}

func (s *story) add(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, fmt.Sprintf(format, args...))
}

func (s *story) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.seen, " ")
}

// run runs body in a bubble of fake time on a fresh memory cluster.
func run(t *testing.T, body func(t *testing.T, cluster *memory.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { body(t, memory.New()) })
}

func letters(cluster *memory.Cluster, topic string) (reasons []string) {
	for _, r := range cluster.Records(topic) {
		reason, _ := r.Header("eventbus-dlq-reason")
		reasons = append(reasons, string(reason))
	}
	return reasons
}

const (
	ordersName   = "test.sales.public.orders.v1"
	orderLetters = ordersName + ".sales-api-test.dlq"
)

func TestPromise3KeyOrderWhileOneIsRetried(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		var s story
		failures := 2
		if err := eventbus.Subscribe(bus, topic, func(ctx context.Context, o order) error {
			d, _ := eventbus.DeliveryFrom(ctx)
			s.add("%s%d#%d", o.ID, o.Seq, d.Attempt)
			if o.ID == "a" && failures > 0 {
				failures--
				return errors.New("not yet")
			}
			return nil
		}, eventbus.Concurrency(1)); err != nil {
			t.Fatal(err)
		}
		p := eventbus.NewPublisher(bus, topic)
		for _, o := range []order{{"a", 1}, {"a", 2}, {"b", 1}, {"a", 3}, {"b", 2}} {
			if err := p.Publish(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		start(t, bus)
		synctest.Wait()
		if got := s.String(); !strings.Contains(got, "b2") || strings.Contains(got, "a2") {
			t.Fatalf("before the retry: %s", got)
		}
		pass(time.Minute)
		if got, want := strings.TrimPrefix(keyed(s.String(), "a"), ""), "a1#1 a1#2 a1#3 a2#1 a3#1"; got != want {
			t.Fatalf("key a: %s, want %s", got, want)
		}
		closeBus(t, bus)
	})
}

func keyed(seen, key string) string {
	var of []string
	for _, s := range strings.Fields(seen) {
		if strings.HasPrefix(s, key) {
			of = append(of, s)
		}
	}
	return strings.Join(of, " ")
}

func TestPromise2DeadLetterKeepsBytes(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		handled := make(chan order, 10)
		if err := eventbus.Subscribe(bus, topic, func(_ context.Context, o order) error {
			switch o.Seq {
			case 1:
				return errors.New("always")
			case 2:
				return eventbus.Permanent(errors.New("no such customer"))
			case 3:
				panic("handler bug")
			}
			handled <- o
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		start(t, bus)
		p := eventbus.NewPublisher(bus, topic)
		for seq := range 5 {
			if err := p.Publish(t.Context(), order{"a", seq}); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Hour)
		if len(handled) != 2 {
			t.Fatalf("handled %d, want 2", len(handled))
		}
		if got := fmt.Sprint(letters(cluster, orderLetters)); got != "[exhausted permanent exhausted]" {
			t.Fatalf("dead letters: %s", got)
		}
		sent, dead := cluster.Records(ordersName)[1], cluster.Records(orderLetters)[0]
		if string(dead.Key) != string(sent.Key) || string(dead.Value) != string(sent.Value) {
			t.Fatal("key or value changed")
		}
		for i, h := range sent.Headers {
			if dead.Headers[i].Key != h.Key || string(dead.Headers[i].Value) != string(h.Value) {
				t.Fatalf("header %s changed", h.Key)
			}
		}
		for header, want := range map[string]string{
			"eventbus-dlq-topic": ordersName, "eventbus-dlq-offset": fmt.Sprint(sent.Offset), "eventbus-dlq-group": "sales-api-test",
			"eventbus-dlq-attempts": "3", "eventbus-dlq-error": "retries exhausted: always",
		} {
			if got, _ := dead.Header(header); string(got) != want {
				t.Errorf("%s is %q, want %q", header, got, want)
			}
		}
		if stack, _ := cluster.Records(orderLetters)[2].Header("eventbus-dlq-stack"); !strings.Contains(string(stack), "bus_test.go") {
			t.Errorf("no stack of the panic: %q", stack)
		}
		closeBus(t, bus)
	})
}

func TestUnknownTypes(t *testing.T) {
	type shipped struct {
		ID string `json:"id"`
	}
	shippedTopic := eventbus.NewTopic(eventbus.TopicConfig[shipped]{
		Domain: "sales", Name: "order", Plural: true, Type: "OrderShipped", Partitions: 3,
		Key: func(s shipped) string { return s.ID },
	})
	for name, c := range map[string]struct {
		options []eventbus.SubscribeOption
		letters string
		after   string // what of key a is handled
	}{
		"skipped by default": {nil, "[]", "a1 a2"},
		"dead-lettered":      {[]eventbus.SubscribeOption{eventbus.WhenUnknown(eventbus.DeadLetterUnknown)}, "[unknown-type]", "a1 a2"},
		"held":               {[]eventbus.SubscribeOption{eventbus.WhenUnknown(eventbus.FailUnknown)}, "[]", "a1"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, cluster *memory.Cluster) {
				bus, topic := newBus(t, cluster, config()), orders(t)
				var s story
				if err := eventbus.Subscribe(bus, topic, func(_ context.Context, o order) error {
					s.add("%s%d", o.ID, o.Seq)
					return nil
				}, c.options...); err != nil {
					t.Fatal(err)
				}
				start(t, bus)
				must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"a", 1}))
				must(t, eventbus.NewPublisher(bus, shippedTopic).Publish(t.Context(), shipped{"a"}))
				must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"a", 2}))
				must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"b", 1}))
				pass(time.Minute)
				if got := keyed(s.String(), "a"); got != c.after {
					t.Errorf("key a: %s, want %s", got, c.after)
				}
				if got := keyed(s.String(), "b"); got != "b1" {
					t.Errorf("key b: %s", got)
				}
				if got := fmt.Sprint(letters(cluster, orderLetters)); got != c.letters {
					t.Errorf("dead letters %s, want %s", got, c.letters)
				}
				closeBus(t, bus)
			})
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTombstones(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		var s story
		must(t, bus.Add(
			eventbus.On(topic, func(_ context.Context, o order) error { s.add("%s%d", o.ID, o.Seq); return nil }),
			eventbus.OnDelete(topic, func(_ context.Context, key string) error { s.add("%s-deleted", key); return nil }),
		))
		start(t, bus)
		p := eventbus.NewPublisher(bus, topic)
		must(t, p.Publish(t.Context(), order{"a", 1}))
		must(t, p.Delete(t.Context(), "a"))
		must(t, p.Publish(t.Context(), order{"a", 2}))
		synctest.Wait()
		if got := s.String(); got != "a1 a-deleted a2" {
			t.Fatal(got)
		}
		closeBus(t, bus)
	})
}

func TestTombstoneWithoutHandlerIsSkipped(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		var s story
		must(t, eventbus.Subscribe(bus, topic, func(_ context.Context, o order) error { s.add("%s%d", o.ID, o.Seq); return nil }))
		start(t, bus)
		p := eventbus.NewPublisher(bus, topic)
		must(t, p.Delete(t.Context(), "a"))
		must(t, p.Publish(t.Context(), order{"a", 1}))
		synctest.Wait()
		if got := s.String(); got != "a1" {
			t.Fatal(got)
		}
		closeBus(t, bus)
	})
}

func TestBatchHandler(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		var s story
		failed := false
		must(t, bus.Add(eventbus.OnBatch(topic, func(_ context.Context, batch []order) error {
			for i, o := range batch {
				if o.ID == "a" && o.Seq == 1 && !failed {
					failed = true
					s.add("a1-failed")
					return eventbus.StoppedAt(i, errors.New("not now"))
				}
				s.add("%s%d", o.ID, o.Seq)
			}
			return nil
		}, eventbus.Ordered(eventbus.ByKey))))
		p := eventbus.NewPublisher(bus, topic)
		must(t, p.PublishBatch(t.Context(), []order{{"a", 0}, {"a", 1}, {"a", 2}, {"a", 3}}))
		start(t, bus)
		pass(time.Minute)
		if got := s.String(); got != "a0 a1-failed a1 a2 a3" {
			t.Fatal(got)
		}
		closeBus(t, bus)
	})
}

func TestPromise4CleanStopRepeatsNothing(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		topic := orders(t)
		const events = 200
		var mu sync.Mutex
		count := make(map[order]int)
		release := make(chan struct{})
		handler := func(ctx context.Context, o order) error {
			if o.ID == "k3" && o.Seq == 0 {
				select {
				case <-release:
				default:
					return eventbus.RetryAfter(time.Hour, errors.New("parked until the restart"))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			count[o]++
			return nil
		}
		serve := func() *eventbus.Bus {
			bus := newBus(t, shared{cluster}, config())
			must(t, eventbus.Subscribe(bus, topic, handler, eventbus.Retry(resilience.Unlimited())))
			start(t, bus)
			return bus
		}
		bus := serve()
		p := eventbus.NewPublisher(bus, topic)
		for i := range events {
			must(t, p.Publish(t.Context(), order{fmt.Sprint("k", i%10), i / 10}))
		}
		synctest.Wait()
		closeBus(t, bus)
		close(release)
		bus = serve()
		pass(time.Minute)
		closeBus(t, bus)
		for i := range events {
			if o := (order{fmt.Sprint("k", i%10), i / 10}); count[o] != 1 {
				t.Errorf("%v was handled %d times", o, count[o])
			}
		}
	})
}

// shared is a cluster that several buses use: none of them closes it.
type shared struct{ transport.Transport }

func (shared) Close(context.Context) error { return nil }
