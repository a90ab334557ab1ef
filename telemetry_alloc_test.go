package eventbus_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/eventbus-go/eventbus"
)

// maxPublishAllocs is how many allocations a publish may cost in all, three of them in
// the memory transport's log.
const maxPublishAllocs = 6

// TestTelemetryCostsNoMemory: without an SDK, or with one that only counts, reporting an
// event allocates nothing. Benchmarks measure its time.
func TestTelemetryCostsNoMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("pools forget at random under the race detector")
	}
	for _, mode := range benchModes() {
		if mode.spans {
			continue
		}
		t.Run(mode.name, func(t *testing.T) {
			bus, topic := benchBus(t, mode.config())
			p, event := eventbus.NewPublisher(bus, topic), order{ID: "customer-1", Seq: 1}
			got := testing.AllocsPerRun(2000, func() {
				if err := p.Publish(context.Background(), event); err != nil {
					t.Fatal(err)
				}
			})
			if got > maxPublishAllocs {
				t.Errorf("%v allocations per publish, at most %d are allowed", got, maxPublishAllocs)
			}
		})
	}
}

// maxHandleAllocs is how many allocations an event may cost from the transport to the
// handler and the commit: the text of its headers, and the string in its data. The
// fraction is for fetching, contexts and the group's start.
const maxHandleAllocs = 2.5

// maxUnsampledAllocs is how many more it may cost with a tracer that does not sample it:
// the context and the span of the trace that it came with, those that the SDK starts, and
// the SDK's copy of the attributes for its sampler.
const maxUnsampledAllocs = 5

// TestHandlingCostsLittleMemory: for an event that is handled without trouble, no
// context, scope, envelope or place in a lane is allocated.
func TestHandlingCostsLittleMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("pools forget at random under the race detector")
	}
	const events = 20_000
	for _, mode := range benchModes() {
		most := maxHandleAllocs
		switch {
		case mode.name == "unsampled":
			most += maxUnsampledAllocs
		case mode.spans:
			continue
		}
		t.Run(mode.name, func(t *testing.T) {
			bus, topic := benchBus(t, mode.config())
			p, event := eventbus.NewPublisher(bus, topic), order{ID: "customer-1", Seq: 1}
			done, handled := make(chan struct{}), 0
			// One key, so that one handler runs at a time and may count.
			if err := eventbus.Subscribe(bus, topic, func(context.Context, order) error {
				if handled++; handled == events {
					close(done)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			for range events {
				if err := p.Publish(context.Background(), event); err != nil {
					t.Fatal(err)
				}
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if err := bus.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			<-done
			runtime.ReadMemStats(&after)
			if got := float64(after.Mallocs-before.Mallocs) / events; got > most {
				t.Errorf("%.2f allocations per handled event, at most %v are allowed", got, most)
			} else {
				t.Logf("%.2f allocations per handled event", got)
			}
		})
	}
}
