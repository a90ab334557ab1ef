package telemetry

import (
	"context"
	"encoding/hex"
	"reflect"
	"slices"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// tracing starts spans and reads and writes their context in events.
type tracing struct {
	// off reports whether tracer never records anything.
	tracer trace.Tracer
	off    bool
	// placeholder is OpenTelemetry's default global provider if no other was set,
	// else nil. Spans are not recorded until another takes its place.
	placeholder trace.TracerProvider

	propagator propagation.TextMapPropagator
	// fields are the headers that the propagator reads and writes.
	fields []string
	// w3c reports whether those of W3C Trace Context are among them.
	w3c bool
	// spansOnly reports whether the propagator carries nothing but a span.
	spansOnly bool
}

// newTracing returns the tracing of a provider and a propagator. Nil means the global
// one of each.
func newTracing(provider trace.TracerProvider, propagator propagation.TextMapPropagator) tracing {
	t := tracing{propagator: propagator}
	if provider == nil {
		provider = otel.GetTracerProvider()
		if isPlaceholder(provider) {
			t.placeholder = provider
		}
	}
	t.off = isNoop(provider)
	t.tracer = provider.Tracer(Scope, trace.WithSchemaURL(SchemaURL))
	if t.propagator == nil {
		// The default global propagator has no fields.
		if t.propagator = otel.GetTextMapPropagator(); len(t.propagator.Fields()) == 0 {
			t.propagator = propagation.TraceContext{}
		}
	}
	t.fields = t.propagator.Fields()
	t.w3c = slices.Contains(t.fields, headerTraceParent)
	_, t.spansOnly = t.propagator.(propagation.TraceContext)
	return t
}

// isPlaceholder reports whether p is OpenTelemetry's default global provider.
// Until a real one is set its tracers record nothing and cost three allocations
// per span; afterwards the same tracers record. The type is internal to
// OpenTelemetry, so its package path identifies it.
func isPlaceholder(p trace.TracerProvider) bool {
	t := reflect.TypeOf(p)
	return t.Kind() == reflect.Pointer && t.Elem().PkgPath() == "go.opentelemetry.io/otel/internal/global"
}

// isNoop reports whether p never records anything.
func isNoop(p trace.TracerProvider) bool {
	_, ok := p.(noop.TracerProvider)
	return ok
}

// on reports whether starting a span can have an effect. It checks the global
// provider each time, since services set it up before or after the bus.
func (t *tracing) on() bool {
	if t.placeholder == nil {
		return !t.off
	}
	p := otel.GetTracerProvider()
	return p != t.placeholder && !isNoop(p)
}

// TraceContext is the trace that an event should carry. Telemetry does not
// change events: the publisher writes the TraceContext into its event and then
// releases it, so that its memory is reused.
type TraceContext struct {
	// Headers are plain headers for this hop, in the propagator's format. They
	// replace headers of the same name.
	Headers []transport.Header
	// Parent and State are CloudEvents' distributed tracing extension, which
	// stays with an event. They are empty if the event has one already, or if
	// there is no span.
	Parent, State string

	// event is the event whose headers the propagator may read, but not change.
	event *wire.Event
}

// traceContexts saves an allocation for each published event.
var traceContexts = sync.Pool{New: func() any { return new(TraceContext) }}

// Release lets the TraceContext be reused; it must not be used afterwards. Releasing
// nil does nothing.
func (c *TraceContext) Release() {
	if c == nil {
		return
	}
	clear(c.Headers)
	*c = TraceContext{Headers: c.Headers[:0]}
	traceContexts.Put(c)
}

// Get implements propagation.TextMapCarrier.
func (c *TraceContext) Get(key string) string {
	for i := range c.Headers {
		if c.Headers[i].Key == key {
			return string(c.Headers[i].Value)
		}
	}
	return headerCarrier{c.event}.Get(key)
}

// Set implements propagation.TextMapCarrier.
func (c *TraceContext) Set(key, value string) {
	c.Headers = append(c.Headers, transport.Header{Key: key, Value: []byte(value)})
}

// Keys implements propagation.TextMapCarrier.
func (c *TraceContext) Keys() []string {
	keys := headerCarrier{c.event}.Keys()
	for i := range c.Headers {
		keys = append(keys, c.Headers[i].Key)
	}
	return keys
}

// contextOf returns the trace of ctx that an event should carry, or nil if there is
// none.
func (t *tracing) contextOf(ctx context.Context, e *wire.Event) *TraceContext {
	traced := trace.SpanContextFromContext(ctx).IsValid()
	if t.spansOnly && !traced {
		return nil
	}
	c := traceContexts.Get().(*TraceContext)
	c.event = e
	t.propagator.Inject(ctx, c)
	switch {
	case e.TraceParent != "" || !traced:
	case t.w3c:
		c.Parent, c.State = c.Get(headerTraceParent), c.Get(headerTraceState)
	default:
		var w3c propagation.MapCarrier = make(map[string]string, 2)
		propagation.TraceContext{}.Inject(ctx, w3c)
		c.Parent, c.State = w3c[headerTraceParent], w3c[headerTraceState]
	}
	return c
}

// Names of the headers of W3C Trace Context.
const (
	headerTraceParent = "traceparent"
	headerTraceState  = "tracestate"
)

// carried reports whether an event carries a trace, or anything else that the
// propagator reads.
func (t *tracing) carried(e *wire.Event) bool {
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

// extract returns ctx with the trace that an event carries. The plain headers of its
// last hop take precedence. A producer that knows only CloudEvents sends just the
// extension, which has the trace of the event's creation.
func (t *tracing) extract(ctx context.Context, e *wire.Event) context.Context {
	ctx = t.propagator.Extract(ctx, headerCarrier{e})
	if trace.SpanContextFromContext(ctx).IsValid() {
		return ctx
	}
	return created(ctx, e)
}

// Forward returns ctx with the trace that the event carries, unless ctx has one, so
// that passing an event on continues its trace.
func (t *tracing) Forward(ctx context.Context, e *wire.Event) context.Context {
	if trace.SpanContextFromContext(ctx).IsValid() || !t.carried(e) {
		return ctx
	}
	return t.extract(ctx, e)
}

// created returns ctx with the trace in which an event was created. It is always in
// W3C's format (CloudEvents, Distributed Tracing extension).
func created(ctx context.Context, e *wire.Event) context.Context {
	return propagation.TraceContext{}.Extract(ctx, extensionCarrier{headerCarrier{e}})
}

// namesSpan reports whether a valid W3C traceparent names the span with that id: it has
// the form version-traceid-spanid-flags, in lower case. For an invalid one the result
// means nothing.
func namesSpan(parent string, id trace.SpanID) bool {
	const at = len("00-") + 2*len(trace.TraceID{}) + len("-")
	var text [2 * len(id)]byte
	hex.Encode(text[:], id[:])
	return len(parent) >= at+len(text) && parent[at:at+len(text)] == string(text[:])
}

// extensionCarrier lets W3C's propagator read the tracing extension of an event.
type extensionCarrier struct{ headerCarrier }

// Get returns the extension's attribute of that name.
func (c extensionCarrier) Get(key string) string {
	if key == headerTraceParent {
		return c.e.TraceParent
	}
	return c.e.TraceState
}

// headerCarrier lets a propagator read the plain headers of an event.
type headerCarrier struct{ e *wire.Event }

// Get returns the value of the last header of that name. If the last hop created the
// event, its traceparent is also in the extension, as a string: returning that saves an
// allocation.
func (c headerCarrier) Get(key string) string {
	for _, h := range slices.Backward(c.e.Headers) {
		switch {
		case h.Key != key:
		case string(h.Value) == c.e.TraceParent:
			return c.e.TraceParent
		default:
			return string(h.Value)
		}
	}
	return ""
}

// Set does nothing: telemetry does not change events.
func (headerCarrier) Set(string, string) {}

// Keys returns the names of all headers.
func (c headerCarrier) Keys() []string {
	keys := make([]string, len(c.e.Headers))
	for i := range c.e.Headers {
		keys[i] = c.e.Headers[i].Key
	}
	return keys
}
