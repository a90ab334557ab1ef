package telemetry

import (
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

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
