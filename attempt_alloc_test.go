package eventbus

import (
	"context"
	"log/slog"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/eventbus-go/eventbus/internal/brokergate"
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/transport"
)

// TestAttemptCostsNoMemory: reporting an attempt allocates nothing without an SDK,
// or with one that only counts. The event carries no trace, as without tracing.
func TestAttemptCostsNoMemory(t *testing.T) {
	counted := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	for name, c := range map[string]Config{"off": {}, "metrics": {MeterProvider: counted}} {
		t.Run(name, func(t *testing.T) {
			c.Logger = slog.New(slog.DiscardHandler)
			s := telemetry.NewSignals(telemetry.SignalsConfig{Logger: c.Logger, MeterProvider: c.MeterProvider}, new(brokergate.Breakers).States)
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			h := s.Group("group", []transport.TopicStart{{Topic: "topic"}}).Topics["topic"]
			e := &Envelope{ID: "e", Headers: []transport.Header{{Key: "other"}}}
			attempt := &scope{Context: context.Background(), delivery: &Delivery{Attempt: 2, Events: []*Envelope{e}}}
			handler := func(context.Context, *Delivery) error { return nil }
			if got := testing.AllocsPerRun(1000, func() {
				if err := observed(h, attempt, &handling{handler: handler}); err != nil {
					t.Fatal(err)
				}
			}); got != 0 {
				t.Errorf("%v allocations", got)
			}
		})
	}
}
