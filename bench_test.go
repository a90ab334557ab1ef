package eventbus_test

import (
	"context"
	"errors"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// benchBus returns a bus in memory, and a topic whose events of 100 bytes are only
// written to the log.
func benchBus(b testing.TB, c eventbus.Config) (*eventbus.Bus, *eventbus.Topic[order]) {
	b.Helper()
	bus, err := eventbus.New(memory.New(), c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := bus.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return bus, eventbus.NewTopic(eventbus.TopicConfig[order]{
		Domain: "sales", Name: "order", Plural: true, Partitions: 1,
		Key: func(o order) string { return o.ID },
	})
}

// BenchmarkPublish measures a publish that waits for its acknowledgement, with and
// without tracing and metrics.
func BenchmarkPublish(b *testing.B) {
	for _, mode := range benchModes() {
		b.Run(mode.name, func(b *testing.B) {
			bus, topic := benchBus(b, mode.config())
			p, event := eventbus.NewPublisher(bus, topic), order{ID: "customer-1", Seq: 1}
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Publish(context.Background(), event); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHandle measures one attempt with everything that the bus does around the
// handler, including decoding and a share of fetching and committing.
func BenchmarkHandle(b *testing.B) {
	for _, mode := range benchModes() {
		b.Run(mode.name, func(b *testing.B) {
			bus, topic := benchBus(b, mode.config())
			p, event := eventbus.NewPublisher(bus, topic), order{ID: "customer-1", Seq: 1}
			var handled int
			done := make(chan struct{})
			if err := eventbus.Subscribe(bus, topic, func(context.Context, order) error {
				if handled++; handled == b.N {
					close(done)
				}
				if handled > b.N {
					return eventbus.Permanent(errors.New("one too many"))
				}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
			for range b.N {
				if err := p.Publish(context.Background(), event); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			if err := bus.Start(context.Background()); err != nil {
				b.Fatal(err)
			}
			<-done
		})
	}
}
