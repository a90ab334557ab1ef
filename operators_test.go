package eventbus_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// TestOperatorsTakeTheLetters: the dead-letter topic is deleted while the group runs, and
// created again, also with fewer partitions. No event is skipped meanwhile, other keys go
// on, and in the end every failed event has its letter.
func TestOperatorsTakeTheLetters(t *testing.T) {
	for _, partitions := range []int32{1, 5} {
		run(t, func(t *testing.T, cluster *memory.Cluster) {
			bus, topic := newBus(t, cluster, config()), orders(t)
			var handled atomic.Int64
			must(t, eventbus.Subscribe(bus, topic, func(_ context.Context, o order) error {
				if o.Seq < 0 {
					return errBoom
				}
				handled.Add(1)
				return nil
			}, eventbus.Retry(resilience.NoRetry())))
			start(t, bus)
			p := eventbus.NewPublisher(bus, topic)
			must(t, p.Publish(t.Context(), order{"first", -1}))
			pass(time.Minute)
			if n := len(cluster.Records(orderLetters)); n != 1 {
				t.Fatalf("%d letters", n)
			}
			must(t, cluster.DeleteTopic(orderLetters))
			for _, id := range []string{"a", "b", "c", "d", "e", "f"} {
				must(t, p.Publish(t.Context(), order{id, -1}))
				must(t, p.Publish(t.Context(), order{"good " + id, 1}))
				must(t, p.Publish(t.Context(), order{id, 2}))
			}
			pass(10 * time.Minute)
			must(t, cluster.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: orderLetters, Partitions: partitions}))
			pass(10 * time.Minute)
			if n := len(cluster.Records(orderLetters)); n != 6 || handled.Load() != 12 {
				t.Errorf("%d partitions: %d of 6 letters, %d of 12 handled", partitions, n, handled.Load())
			}
			closeBus(t, bus)
		})
	}
}

// TestOperatorsTakeTheTopic: the topic is deleted and created again with fewer partitions
// while the bus publishes to it and handles it. Events that are acknowledged afterwards
// are handled, and publishing goes on.
func TestOperatorsTakeTheTopic(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		var mu sync.Mutex
		handled := make(map[order]int)
		must(t, eventbus.Subscribe(bus, topic, func(_ context.Context, o order) error {
			mu.Lock()
			defer mu.Unlock()
			handled[o]++
			return nil
		}))
		start(t, bus)
		p := eventbus.NewPublisher(bus, topic)
		ids := []string{"a", "b", "c", "d", "e", "f", "g"}
		for _, id := range ids {
			must(t, p.Publish(t.Context(), order{id, 1}))
		}
		pass(time.Minute)
		must(t, cluster.DeleteTopic(ordersName))
		for _, id := range ids {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := p.Publish(ctx, order{id, 2}); err == nil {
				t.Error("published into a topic that is gone")
			}
			cancel()
		}
		must(t, cluster.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: ordersName, Partitions: 1}))
		pass(time.Minute)
		for _, id := range ids {
			must(t, p.Publish(t.Context(), order{id, 3}))
		}
		pass(10 * time.Minute)
		mu.Lock()
		for _, id := range ids {
			if handled[order{id, 1}] != 1 || handled[order{id, 3}] != 1 {
				t.Errorf("%s is handled %d and %d times", id, handled[order{id, 1}], handled[order{id, 3}])
			}
		}
		mu.Unlock()
		closeBus(t, bus)
	})
}
