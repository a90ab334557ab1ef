package eventbus

import (
	"context"
	"reflect"
	"slices"

	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/transport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// tracing starts spans and carries their context in records.
type tracing struct {
	tracer trace.Tracer
	off    bool
	// placeholder is OpenTelemetry's own global provider, if that was all
	// there was: spans go nowhere until another takes its place.
	placeholder trace.TracerProvider

	propagator propagation.TextMapPropagator
	fields     []string // the headers that it reads and writes
	w3c        bool     // among them W3C's
	spansOnly  bool     // it carries nothing but a span
}

func newTracing(provider trace.TracerProvider, propagator propagation.TextMapPropagator) tracing {
	t := tracing{propagator: propagator}
	if provider == nil {
		provider = otel.GetTracerProvider()
		if isPlaceholder(provider) {
			t.placeholder = provider
		}
	}
	t.off = isNoop(provider)
	t.tracer = provider.Tracer(telemetry.Scope, trace.WithSchemaURL(telemetry.SchemaURL))
	if t.propagator == nil {
		// The global one has no fields as long as nobody has set it.
		if t.propagator = otel.GetTextMapPropagator(); len(t.propagator.Fields()) == 0 {
			t.propagator = propagation.TraceContext{}
		}
	}
	t.fields = t.propagator.Fields()
	t.w3c = slices.Contains(t.fields, headerTraceParent)
	_, t.spansOnly = t.propagator.(propagation.TraceContext)
	return t
}

// isPlaceholder tells whether a provider is the one that stands for the global
// one until that is set: it hands out tracers whose spans are not recorded, at
// three allocations each, and that start to work once there is a provider.
func isPlaceholder(p trace.TracerProvider) bool {
	t := reflect.TypeOf(p)
	return t.Kind() == reflect.Pointer && t.Elem().PkgPath() == "go.opentelemetry.io/otel/internal/global"
}

func isNoop(p trace.TracerProvider) bool {
	_, ok := p.(noop.TracerProvider)
	return ok
}

// on tells whether a span is worth starting.
func (t *tracing) on() bool {
	if t.placeholder == nil {
		return !t.off
	}
	p := otel.GetTracerProvider()
	return p != t.placeholder && !isNoop(p)
}

// inject writes the trace of ctx into an event: as plain headers for this hop,
// in the propagator's format, and, where the event has none yet, as CloudEvents'
// distributed tracing extension, which stays with it (W3C's format always).
func (t *tracing) inject(ctx context.Context, e *Envelope) {
	traced := trace.SpanContextFromContext(ctx).IsValid()
	if t.spansOnly && !traced {
		return
	}
	carrier := headerCarrier{e}
	t.propagator.Inject(ctx, carrier)
	switch {
	case e.TraceParent != "" || !traced:
		return
	case t.w3c:
		e.TraceParent, e.TraceState = carrier.Get(headerTraceParent), carrier.Get(headerTraceState)
		return
	}
	var w3c propagation.MapCarrier = make(map[string]string, 2)
	propagation.TraceContext{}.Inject(ctx, w3c)
	e.TraceParent, e.TraceState = w3c[headerTraceParent], w3c[headerTraceState]
}

const (
	headerTraceParent = "traceparent"
	headerTraceState  = "tracestate"
)

// carried tells whether an event carries a trace.
func (t *tracing) carried(e *Envelope) bool {
	if e.TraceParent != "" {
		return true
	}
	for i := range e.Headers {
		if slices.Contains(t.fields, e.Headers[i].Key) {
			return true
		}
	}
	return false
}

// extract returns ctx with the trace that an event came with: of its last hop,
// else, from a producer that knows CloudEvents alone, the one it was created in.
func (t *tracing) extract(ctx context.Context, e *Envelope) context.Context {
	ctx = t.propagator.Extract(ctx, headerCarrier{e})
	if trace.SpanContextFromContext(ctx).IsValid() {
		return ctx
	}
	return created(ctx, e)
}

// forward returns ctx with a trace: its own, or for an event that is passed on
// the one that it came with.
func (t *tracing) forward(ctx context.Context, e *Envelope) context.Context {
	if trace.SpanContextFromContext(ctx).IsValid() || !t.carried(e) {
		return ctx
	}
	return t.extract(ctx, e)
}

// created returns ctx with the trace that an event was created in.
func created(ctx context.Context, e *Envelope) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{
		headerTraceParent: e.TraceParent, headerTraceState: e.TraceState,
	})
}

// headerCarrier gives a propagator the plain headers of an envelope.
type headerCarrier struct{ e *Envelope }

func (c headerCarrier) find(key string) int {
	for i := len(c.e.Headers) - 1; i >= 0; i-- {
		if c.e.Headers[i].Key == key {
			return i
		}
	}
	return -1
}

func (c headerCarrier) Get(key string) string {
	if i := c.find(key); i >= 0 {
		return string(c.e.Headers[i].Value)
	}
	return ""
}

// Set writes a header, over that of the hop before.
func (c headerCarrier) Set(key, value string) {
	h := transport.Header{Key: key, Value: []byte(value)}
	if i := c.find(key); i >= 0 {
		c.e.Headers = slices.Clone(c.e.Headers) // may be the caller's
		c.e.Headers[i] = h
		return
	}
	c.e.Headers = append(c.e.Headers, h)
}

func (c headerCarrier) Keys() []string {
	keys := make([]string, len(c.e.Headers))
	for i := range c.e.Headers {
		keys[i] = c.e.Headers[i].Key
	}
	return keys
}
