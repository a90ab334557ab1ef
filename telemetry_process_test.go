package eventbus

import (
	"context"
	"log/slog"
	"testing"

	"github.com/eventbus-go/eventbus/transport"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// TestAttemptCostsNoMemory: what is told of an attempt takes no memory where no
// SDK listens, and where one counts. The event carries no trace, as
// none does where nobody traces.
func TestAttemptCostsNoMemory(t *testing.T) {
	counted := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	for name, c := range map[string]Config{"off": {}, "metrics": {MeterProvider: counted}} {
		t.Run(name, func(t *testing.T) {
			c.Logger = slog.New(slog.DiscardHandler)
			s := newSignals(&resolved{Config: c}, new(publishBreakers))
			t.Cleanup(func() {
				if err := s.close(); err != nil {
					t.Error(err)
				}
			})
			h := s.group("group", []transport.TopicStart{{Topic: "topic"}}).topics["topic"]
			e := &Envelope{ID: "e", Headers: []transport.Header{{Key: "other"}}}
			attempt := &scope{Context: context.Background(), delivery: &Delivery{Attempt: 2, Events: []*Envelope{e}}}
			handler := func(context.Context, *Delivery) error { return nil }
			if got := testing.AllocsPerRun(1000, func() {
				if err := h.attempt(attempt, handler); err != nil {
					t.Fatal(err)
				}
			}); got != 0 {
				t.Errorf("%v allocations", got)
			}
		})
	}
}

// TestLabelsAreBounded: a value too many counts as one of the others.
func TestLabelsAreBounded(t *testing.T) {
	f := newFamily("key")
	for i := range 100 {
		f.of(string(rune('A' + i)))
	}
	if len(f.known) > maxFamily+1 {
		t.Errorf("%d values are told apart, at most %d and the rest are to be", len(f.known), maxFamily)
	}
	if f.of("A") == f.of("one more") || f.of("one more") != f.of("yet another") {
		t.Error("known values keep their labels, all others share one")
	}
}

// TestTracingFollowsTheGlobalProvider: spans go nowhere until a global provider
// is set, which may be after the bus was made.
func TestTracingFollowsTheGlobalProvider(t *testing.T) {
	tracing := newTracing(nil, nil)
	if tracing.placeholder == nil || tracing.on() {
		t.Fatal("on without any provider")
	}
	tracing.placeholder = sdktrace.NewTracerProvider() // as if that had been the global one
	if !tracing.on() {
		t.Error("off although the global provider is another one now")
	}
	if own := newTracing(noop.NewTracerProvider(), nil); own.on() {
		t.Error("on with a provider that does nothing")
	}
}
