package eventbus

import (
	"context"

	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// telemetry is what the bus tells OpenTelemetry.
type telemetry struct {
	propagator propagation.TextMapPropagator
}

func newTelemetry(c *resolved) *telemetry {
	t := &telemetry{propagator: c.Propagator}
	if t.propagator == nil {
		t.propagator = propagation.TraceContext{}
	}
	return t
}

// inject writes the trace of ctx into a new event: as plain headers for this
// hop, and as the distributed tracing extension, which stays with the event.
func (t *telemetry) inject(ctx context.Context, e *Envelope) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return
	}
	carrier := headerCarrier{e}
	t.propagator.Inject(ctx, carrier)
	if e.TraceParent == "" {
		e.TraceParent, e.TraceState = carrier.Get("traceparent"), carrier.Get("tracestate")
	}
}

// process runs an attempt in the trace of its event.
func (t *telemetry) process(s *scope, h Handler) error {
	if len(s.delivery.Events) == 1 {
		if carrier := (headerCarrier{s.delivery.Events[0]}); carrier.Get("traceparent") != "" {
			s.Context = t.propagator.Extract(s.Context, carrier)
		}
	}
	return attempt(s, h)
}

func (t *telemetry) breakerChanged(string, resilience.State) {}

// headerCarrier gives a propagator the plain headers of an envelope.
type headerCarrier struct{ e *Envelope }

func (c headerCarrier) Get(key string) string {
	for i := len(c.e.Headers) - 1; i >= 0; i-- {
		if c.e.Headers[i].Key == key {
			return string(c.e.Headers[i].Value)
		}
	}
	return ""
}

func (c headerCarrier) Set(key, value string) {
	c.e.Headers = append(c.e.Headers, transport.Header{Key: key, Value: []byte(value)})
}

func (c headerCarrier) Keys() []string {
	keys := make([]string, len(c.e.Headers))
	for i := range c.e.Headers {
		keys[i] = c.e.Headers[i].Key
	}
	return keys
}

// observer turns what the engine tells into metrics.
type observer struct {
	engine.NoObserver
	bus   *Bus
	group string
}
