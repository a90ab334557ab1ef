package kafkatest

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/resilience"
)

// Bus returns a bus on the cluster. It is not started yet; the test's Cleanup closes
// it. The bus creates topics, retries a failed event twice without delay, has no
// circuit breakers, and logs warnings to the test. Its Service is the test's name: the
// buses of one test are members of one group, like instances of one service. The
// adjust functions change the configuration, in order, before the bus is made.
func (c *Cluster) Bus(t testing.TB, adjust ...func(*eventbus.Config)) *eventbus.Bus {
	t.Helper()
	log := &testLog{t: t}
	config := eventbus.Config{
		Service:       serviceName(t.Name()),
		Environment:   c.environment,
		AutoProvision: eventbus.ProvisionAlways,
		Handling: []eventbus.SubscribeOption{
			eventbus.Retry(resilience.Retry{Attempts: 3, Initial: time.Millisecond, Max: time.Millisecond}),
			eventbus.Breaker(resilience.BreakerConfig{Disabled: true}),
		},
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	for _, f := range adjust {
		f(&config)
	}
	bus, err := eventbus.New(c.Transport(), config)
	if err != nil {
		t.Fatalf("kafkatest: %v", err)
	}
	t.Cleanup(func() {
		// t.Context has already ended in a Cleanup.
		ctx, cancel := context.WithTimeout(context.Background(), closing)
		defer cancel()
		if err := bus.Close(ctx); err != nil {
			t.Errorf("kafkatest: %v", err)
		}
		log.end()
	})
	return bus
}

// Start returns a Bus that handles subscriptions. It returns when the bus's members
// have their partitions: a subscription that starts at Latest misses nothing that
// is published from then on.
func (c *Cluster) Start(t testing.TB, subscriptions ...eventbus.Subscription) *eventbus.Bus {
	t.Helper()
	bus := c.Bus(t)
	if err := bus.Add(subscriptions...); err != nil {
		t.Fatalf("kafkatest: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	if err := bus.Start(ctx); err != nil {
		t.Fatalf("kafkatest: %v", err)
	}
	// bus.Start returns when the group is joined, which may be before the members have
	// partitions.
	c.await(t, "the partitions are not assigned", c.unassigned)
	return bus
}

// Publish publishes events on a topic and waits until they are in the log. It uses
// a bus of its own, which the first call of a test or subtest makes.
func Publish[T any](t testing.TB, c *Cluster, topic *eventbus.Topic[T], events ...T) {
	t.Helper()
	bus := c.publisher(t)
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	if err := eventbus.NewPublisher(bus, topic).PublishBatch(ctx, events); err != nil {
		t.Fatalf("kafkatest: %v", err)
	}
}

// publisher returns the bus of Publish for a test. Subtests don't share one, since it closes
// with its test, beside which others may publish.
func (c *Cluster) publisher(t testing.TB) *eventbus.Bus {
	t.Helper()
	c.mu.Lock()
	bus := c.publishers[t]
	c.mu.Unlock()
	if bus != nil {
		return bus
	}
	bus = c.Bus(t, func(config *eventbus.Config) { config.Service = "kafkatest" })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.publishers[t] = bus
	t.Cleanup(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.publishers, t)
	})
	return bus
}

// maxService bounds a service's name, in bytes: the name of a dead-letter topic
// contains the topic and the group, and Kafka limits its length.
const maxService = 60

// serviceName derives a service's name from a test's. A long name loses its beginning,
// since subtests differ at the end.
func serviceName(test string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, test)
	return name[max(len(name)-maxService, 0):]
}

// testLog writes to the test's log until the test ends. Writing later, as an abandoned
// goroutine may, would panic.
type testLog struct {
	mu    sync.Mutex
	t     testing.TB
	ended bool
}

// Write implements io.Writer.
func (l *testLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return len(line), nil
	}
	return l.t.Output().Write(line)
}

// end makes Write drop everything from now on.
func (l *testLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
}
