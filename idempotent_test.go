package eventbus_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport/memory"
)

func TestIdempotentHandlesOnceBySourceAndID(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		var s story
		fail := true
		must(t, eventbus.Subscribe(bus, topic, func(_ context.Context, o order) error {
			s.add("%s%d", o.ID, o.Seq)
			if fail {
				fail = false
				return errors.New("a failed attempt is not remembered")
			}
			return nil
		}, eventbus.With(eventbus.Idempotent(eventbus.MemoryInbox(10)))))
		start(t, bus)
		p := eventbus.NewPublisher(bus, topic)
		for range 3 {
			must(t, p.PublishWith(t.Context(), order{"a", 1}, eventbus.WithID("e-1")))
		}
		must(t, p.PublishWith(t.Context(), order{"a", 2}, eventbus.WithID("e-2")))
		pass(time.Minute)
		if got := s.String(); got != "a1 a1 a2" {
			t.Fatal(got)
		}
		closeBus(t, bus)
	})
}

func TestMemoryInboxForgetsTheOldest(t *testing.T) {
	inbox := eventbus.MemoryInbox(2)
	ran := 0
	once := func(key string) {
		must(t, inbox.Once(t.Context(), []string{key}, func(_ context.Context, fresh []int) error { ran += len(fresh); return nil }))
	}
	for _, key := range []string{"a", "b", "a", "c", "b", "a"} {
		once(key)
	}
	if ran != 4 { // a b – c – a
		t.Fatalf("ran %d times, want 4", ran)
	}
}

func TestMemoryInboxOneAtATime(t *testing.T) {
	inbox := eventbus.MemoryInbox(0)
	var ran atomic.Int64
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() {
			_ = inbox.Once(context.Background(), []string{"x", "y"}, func(_ context.Context, fresh []int) error {
				ran.Add(int64(len(fresh)))
				return nil
			})
			_ = inbox.Once(context.Background(), []string{"y", "x"}, func(_ context.Context, fresh []int) error {
				ran.Add(int64(len(fresh)))
				return nil
			})
		})
	}
	wait.Wait()
	if ran.Load() != 2 {
		t.Fatalf("ran for %d keys, want 2", ran.Load())
	}
}
