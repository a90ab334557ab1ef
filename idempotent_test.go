package eventbus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/inbox"
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
		}, eventbus.Use(eventbus.Idempotent(inbox.Memory(10)))))
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
