package eventbus_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// listener is an OpenTelemetry SDK that keeps what is reported.
type listener struct {
	spans  *tracetest.InMemoryExporter
	tracer *sdktrace.TracerProvider
	reader *metric.ManualReader
	meter  *metric.MeterProvider
}

func newListener() *listener {
	l := &listener{spans: tracetest.NewInMemoryExporter(), reader: metric.NewManualReader()}
	l.tracer = sdktrace.NewTracerProvider(sdktrace.WithSyncer(l.spans))
	l.meter = metric.NewMeterProvider(metric.WithReader(l.reader))
	return l
}

// config returns the configuration of a service that reports to the listener.
func (l *listener) config(service string) eventbus.Config {
	c := config()
	c.Service, c.TracerProvider, c.MeterProvider = service, l.tracer, l.meter
	return c
}

// request starts the span of an HTTP request that a service answers.
func (l *listener) request(ctx context.Context) (context.Context, trace.Span) {
	return l.tracer.Tracer("http").Start(ctx, "GET /signup", trace.WithSpanKind(trace.SpanKindServer))
}

// named returns the spans of a name, in the order in which they began.
func (l *listener) named(name string) (found tracetest.SpanStubs) {
	for _, s := range l.sorted() {
		if s.Name == name {
			found = append(found, s)
		}
	}
	return found
}

func (l *listener) sorted() tracetest.SpanStubs {
	spans := l.spans.GetSpans()
	slices.SortStableFunc(spans, func(a, b tracetest.SpanStub) int {
		return cmp.Or(a.StartTime.Compare(b.StartTime), cmp.Compare(a.Name, b.Name))
	})
	return spans
}

// tree draws the spans of a trace: a line each, below its parent, with its kind,
// which attempt it is, and what went wrong.
func (l *listener) tree(id trace.TraceID) string {
	var b strings.Builder
	var draw func(parent trace.SpanID, depth int)
	draw = func(parent trace.SpanID, depth int) {
		for _, s := range l.sorted() {
			if s.SpanContext.TraceID() != id || s.Parent.SpanID() != parent {
				continue
			}
			fmt.Fprintf(&b, "%s%s %s", strings.Repeat("  ", depth), s.Name, strings.ToUpper(s.SpanKind.String()))
			if n := attributeOf(s.Attributes, "eventbus.attempt"); n != "" {
				fmt.Fprintf(&b, " #%s", n)
			}
			if s.Status.Code == codes.Error {
				fmt.Fprintf(&b, " %s: %s", attributeOf(s.Attributes, "error.type"), s.Status.Description)
			}
			b.WriteString("\n")
			draw(s.SpanContext.SpanID(), depth+1)
		}
	}
	draw(trace.SpanID{}, 0)
	return b.String()
}

func attributeOf(attributes []attribute.KeyValue, key attribute.Key) string {
	for _, a := range attributes {
		if a.Key == key {
			return a.Value.String()
		}
	}
	return ""
}

// point is one data point of a metric.
type point struct {
	attributes attribute.Set
	value      float64 // the count, of a histogram
	bounds     []float64
}

func (p point) has(key attribute.Key, value string) bool {
	v, ok := p.attributes.Value(key)
	return ok && v.String() == value
}

// collect returns the measurements, by metric.
func (l *listener) collect(t *testing.T) map[string][]point {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := l.reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	points := make(map[string][]point)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			points[m.Name] = pointsOf(t, m.Data)
		}
	}
	return points
}

func pointsOf(t *testing.T, data metricdata.Aggregation) (points []point) {
	t.Helper()
	switch d := data.(type) {
	case metricdata.Sum[int64]:
		return numbers(d.DataPoints)
	case metricdata.Gauge[int64]:
		return numbers(d.DataPoints)
	case metricdata.Gauge[float64]:
		return numbers(d.DataPoints)
	case metricdata.Histogram[float64]:
		for _, p := range d.DataPoints {
			points = append(points, point{p.Attributes, float64(p.Count), p.Bounds})
		}
	default:
		t.Fatalf("unexpected data: %T", data)
	}
	return points
}

func numbers[N int64 | float64](from []metricdata.DataPoint[N]) (points []point) {
	for _, p := range from {
		points = append(points, point{attributes: p.Attributes, value: float64(p.Value)})
	}
	return points
}

// sum adds up the points of a metric that have all those attributes.
func sum(points []point, attributes map[attribute.Key]string) (total float64) {
	for _, p := range points {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(attributes)), func(k attribute.Key) bool { return !p.has(k, attributes[k]) }) {
			total += p.value
		}
	}
	return total
}

type shipment struct {
	OrderID string `json:"orderId"`
}

const shipmentsName = "test.logistics.public.shipments.v1"

func shipments(t *testing.T) *eventbus.Topic[shipment] {
	t.Helper()
	return eventbus.NewTopic(eventbus.TopicConfig[shipment]{
		Domain: "logistics", Name: "shipment", Plural: true, Partitions: 1,
		Key: func(s shipment) string { return s.OrderID },
	})
}

var errBoom = errors.New("boom")

// redeliver sends the dead letters of a topic back to the group that gave them up,
// as the tool does.
func redeliver(t *testing.T, cluster *memory.Cluster, letters, retry string) {
	t.Helper()
	producer, err := cluster.NewProducer(transport.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range cluster.Records(letters) {
		origin, _ := r.Header("eventbus-dlq-topic")
		r.Topic = retry
		r.Headers = append(r.Headers, transport.Header{Key: "eventbus-redeliveries", Value: []byte("1")},
			transport.Header{Key: "eventbus-origin-topic", Value: origin})
		if err := producer.Produce(t.Context(), &r, outcome(func(err error) {
			if err != nil {
				t.Error(err)
			}
		})); err != nil {
			t.Fatal(err)
		}
	}
	if err := producer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

type outcome func(error)

func (o outcome) Done(_ transport.Position, err error) { o(err) }
