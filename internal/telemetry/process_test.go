package telemetry

import (
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// TestLabelsAreBounded: values beyond the bound share one set of labels.
func TestLabelsAreBounded(t *testing.T) {
	f := newFamily("key")
	for i := range 100 {
		f.of(string(rune('A' + i)))
	}
	if len(f.known) > maxFamily+1 {
		t.Errorf("%d sets of labels, want at most %d and one for all other values", len(f.known), maxFamily)
	}
	if f.of("A") == f.of("one more") || f.of("one more") != f.of("yet another") {
		t.Error("a known value has the labels of others, or two others have different ones")
	}
}

// TestTracingFollowsTheGlobalProvider: spans are not recorded until a global provider
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
		t.Error("on with a no-op provider")
	}
}

// TestNamesSpan: the id is looked for only where W3C's format has it.
func TestNamesSpan(t *testing.T) {
	id := trace.SpanID{0xa, 0xb, 0xc, 0xd, 0xe, 0xf, 0x1, 0x2}
	const traceID, other = "0123456789abcdef0123456789abcdef", "0102030405060708"
	for parent, want := range map[string]bool{
		"00-" + traceID + "-" + id.String() + "-01":   true,
		"cc-" + traceID + "-" + id.String() + "-01-x": true, // a later version
		"00-" + traceID + "-" + other + "-01":         false,
		"00-" + traceID + "-" + id.String()[:15]:      false,
		id.String() + id.String() + id.String():       false,
		"":                                            false,
	} {
		if namesSpan(parent, id) != want {
			t.Errorf("%q names it: %v", parent, !want)
		}
	}
}
