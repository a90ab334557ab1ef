package eventbus_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/resilience"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// journey is a test kit whose services all export their spans to one exporter.
type journey struct {
	*kafkatest.Cluster
	spans *tracetest.InMemoryExporter
}

// provider returns the tracer provider of a service.
func (j *journey) provider(service string) *sdktrace.TracerProvider {
	return sdktrace.NewTracerProvider(sdktrace.WithSyncer(j.spans),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", service))))
}

// service returns a new bus, with a provider of its own.
func (j *journey) service(t *testing.T, name string) *eventbus.Bus {
	return j.Bus(t, func(c *eventbus.Config) {
		c.Service, c.TracerProvider = name, j.provider(name)
		c.Handling = []eventbus.SubscribeOption{eventbus.Retry(resilience.Retry{Attempts: 3, Initial: time.Second})}
	})
}

// again sends the one dead letter of a topic and group back to the group, as
// eventbus dlq replay does.
func (j *journey) again(t *testing.T, dead string) {
	t.Helper()
	records := j.Memory().Records(dead)
	if len(records) != 1 {
		t.Fatalf("%d records in %s", len(records), dead)
	}
	l, err := letter.Read(&records[0])
	if err != nil {
		t.Fatal(err)
	}
	j.Produce(t, l.Again())
}

// hop is an expected span: its service, name and parent, and how it ended.
type hop struct {
	service, name string
	kind          trace.SpanKind
	parent        int // in the list; −1 for the first
	failed        string
	attributes    map[attribute.Key]string
}

// TestJourney follows one trace, span by span: from a request of HTTP that comes with
// a trace already, through the handlers of two services, two retries, a dead letter,
// its redelivery, and what is published after it.
func TestJourney(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journey{kafkatest.NewMemory(t), tracetest.NewInMemoryExporter()}
		orders, shipments := orders(t), shipments(t)
		delivered := eventbus.NewTopic(eventbus.TopicConfig[delivery]{
			Domain: "logistics", Name: "delivery", Plural: true, Partitions: 1, Key: func(d delivery) string { return d.OrderID },
		})
		sales, logistics := j.service(t, "sales-api"), j.service(t, "logistics-api")
		if err := eventbus.Subscribe(sales, orders, func(ctx context.Context, o order) error {
			time.Sleep(time.Millisecond)
			return eventbus.NewPublisher(sales, shipments).Publish(ctx, shipment{o.ID})
		}); err != nil {
			t.Fatal(err)
		}
		var mended atomic.Bool
		if err := eventbus.Subscribe(logistics, shipments, func(ctx context.Context, s shipment) error {
			time.Sleep(time.Millisecond)
			if mended.Load() {
				return eventbus.NewPublisher(logistics, delivered).Publish(ctx, delivery(s))
			}
			return errBoom
		}); err != nil {
			t.Fatal(err)
		}
		start(t, sales)
		start(t, logistics)

		asked := j.ask(t, eventbus.NewPublisher(sales, orders))
		pass(time.Minute)
		mended.Store(true)
		dead := shipmentsName + ".logistics-api-test.dlq"
		j.again(t, dead)
		pass(time.Minute)

		retry := naming.RetryOf(dead)
		const deliveries = "test.logistics.public.deliveries.v1"
		at := func(topic, group string, more ...string) map[attribute.Key]string {
			expected := map[attribute.Key]string{"messaging.system": "kafka", "messaging.destination.name": topic}
			if group != "" {
				expected["messaging.consumer.group.name"] = group
			}
			for i := 0; i < len(more); i += 2 {
				expected[attribute.Key(more[i])] = more[i+1]
			}
			return expected
		}
		const attempt, group = "eventbus.attempt", "logistics-api-test"
		spans := j.expect(t, asked, []hop{
			{"browser", "POST /orders", trace.SpanKindClient, -1, "", nil},
			{"sales-api", "POST /orders", trace.SpanKindServer, 0, "", nil},
			{"sales-api", "send " + ordersName, trace.SpanKindProducer, 1, "", at(ordersName, "", "cloudevents.event_type", "order")},
			{"sales-api", "process " + ordersName, trace.SpanKindConsumer, 2, "", at(ordersName, ordersGroup, attempt, "1")},
			{"sales-api", "send " + shipmentsName, trace.SpanKindProducer, 3, "", at(shipmentsName, "", "cloudevents.event_type", "shipment")},
			{"logistics-api", "process " + shipmentsName, trace.SpanKindConsumer, 4, "_OTHER: boom", at(shipmentsName, group, attempt, "1")},
			{"logistics-api", "process " + shipmentsName, trace.SpanKindConsumer, 4, "_OTHER: boom", at(shipmentsName, group, attempt, "2")},
			{"logistics-api", "process " + shipmentsName, trace.SpanKindConsumer, 4, "_OTHER: boom", at(shipmentsName, group, attempt, "3")},
			{"logistics-api", "send " + dead, trace.SpanKindClient, 4, "", at(dead, group,
				"eventbus.dead_letter.reason", "exhausted", attempt, "3", "eventbus.origin.topic", shipmentsName)},
			{"logistics-api", "process " + retry, trace.SpanKindConsumer, 4, "", at(retry, group, attempt, "1",
				"eventbus.redeliveries", "1", "eventbus.origin.topic", shipmentsName, "eventbus.origin.partition", "0", "eventbus.origin.offset", "0")},
			{"logistics-api", "send " + deliveries, trace.SpanKindProducer, 9, "", at(deliveries, "", "cloudevents.event_type", "delivery")},
		})
		// It is one event from its publish to its redelivery, in the conversation that
		// the first event began.
		first, second := attributeOf(spans[2].Attributes, "messaging.message.id"), attributeOf(spans[4].Attributes, "messaging.message.id")
		for i, s := range spans[4:] {
			if got := attributeOf(s.Attributes, "messaging.message.conversation_id"); got != first || got == "" {
				t.Errorf("%s is in conversation %q, want %q", s.Name, got, first)
			}
			if got := attributeOf(s.Attributes, "messaging.message.id"); (got == second) != (4+i <= 9) {
				t.Errorf("%s is of event %q, sent as %q", s.Name, got, second)
			}
		}
		kafkatest.Published(t, j.Cluster, delivered, delivery{"o-1"})
	})
}

type delivery struct {
	OrderID string `json:"orderId"`
}

// ask makes the request as a traced page in a browser does, and returns its trace.
func (j *journey) ask(t *testing.T, placed *eventbus.Publisher[order]) trace.TraceID {
	t.Helper()
	wire := propagation.TraceContext{}
	server := j.provider("sales-api").Tracer("http")
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, span := server.Start(wire.Extract(r.Context(), propagation.HeaderCarrier(r.Header)), "POST /orders", trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		time.Sleep(time.Millisecond)
		if err := placed.Publish(ctx, order{ID: "o-1"}); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusAccepted)
	})
	ctx, span := j.provider("browser").Tracer("http").Start(t.Context(), "POST /orders", trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	time.Sleep(time.Millisecond)
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/orders", nil)
	wire.Inject(ctx, propagation.HeaderCarrier(request.Header))
	w := httptest.NewRecorder()
	answer.ServeHTTP(w, request)
	if w.Code != http.StatusAccepted {
		t.Errorf("answered %d", w.Code)
	}
	return span.SpanContext().TraceID()
}

// expect compares the spans of a trace, in the order in which they began, with
// those that it should have, and returns them.
func (j *journey) expect(t *testing.T, id trace.TraceID, want []hop) tracetest.SpanStubs {
	t.Helper()
	spans := slices.DeleteFunc(j.spans.GetSpans(), func(s tracetest.SpanStub) bool { return s.SpanContext.TraceID() != id })
	slices.SortStableFunc(spans, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	var seen strings.Builder
	for _, s := range spans {
		service, _ := s.Resource.Set().Value("service.name")
		fmt.Fprintf(&seen, "%s: %s %s\n", service.AsString(), s.Name, s.SpanKind)
	}
	if len(spans) != len(want) {
		t.Fatalf("%d spans, want %d:\n%s", len(spans), len(want), &seen)
	}
	for i, w := range want {
		s := spans[i]
		service, _ := s.Resource.Set().Value("service.name")
		if service.AsString() != w.service || s.Name != w.name || s.SpanKind != w.kind {
			t.Errorf("span %d is %s's %s %s, want %s's %s %s in\n%s", i, service.AsString(), s.Name, s.SpanKind, w.service, w.name, w.kind, &seen)
			continue
		}
		parent := trace.SpanID{}
		if w.parent >= 0 {
			parent = spans[w.parent].SpanContext.SpanID()
		}
		if s.Parent.SpanID() != parent {
			t.Errorf("span %d, %s, is not below span %d", i, s.Name, w.parent)
		}
		failed := ""
		if s.Status.Description != "" {
			failed = attributeOf(s.Attributes, "error.type") + ": " + s.Status.Description
		}
		if failed != w.failed {
			t.Errorf("span %d, %s, ended with %q, want %q", i, s.Name, failed, w.failed)
		}
		for key, value := range w.attributes {
			if got := attributeOf(s.Attributes, key); got != value {
				t.Errorf("span %d, %s: %s is %q, want %q", i, s.Name, key, got, value)
			}
		}
		if end := s.EndTime; end.Before(s.StartTime) || end.IsZero() {
			t.Errorf("span %d, %s, has no end", i, s.Name)
		}
	}
	return spans
}
