package eventbus_test

import (
	"context"
	"testing"

	"github.com/eventbus-go/eventbus"
)

// maxPublishAllocs is what a publish may allocate on its whole way, three times
// by the log in memory that takes the event.
const maxPublishAllocs = 6

// TestTelemetryCostsNoMemory: where no SDK listens, and where one counts, an
// event is told of without an allocation. The benchmarks say what it costs in
// time.
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
