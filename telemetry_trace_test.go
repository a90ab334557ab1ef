package eventbus_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport/memory"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// TestTraceThroughTwoServices follows one trace from a request through the
// handlers of two services, a retry and a dead letter, span by span.
func TestTraceThroughTwoServices(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		l, orders, shipments := newListener(), orders(t), shipments(t)
		sales, logistics := newBus(t, cluster, l.config("sales-api")), newBus(t, cluster, l.config("logistics-api"))
		shipped := eventbus.NewPublisher(sales, shipments)
		if err := eventbus.Subscribe(sales, orders, func(ctx context.Context, o order) error {
			return shipped.Publish(ctx, shipment{o.ID})
		}); err != nil {
			t.Fatal(err)
		}
		var attempts atomic.Int32
		if err := eventbus.Subscribe(logistics, shipments, func(ctx context.Context, s shipment) error {
			switch {
			case !trace.SpanContextFromContext(ctx).IsValid():
				t.Error("the handler's context has no trace")
			case s.OrderID == "poison":
				return eventbus.Permanent(errBoom)
			case attempts.Add(1) == 1:
				return errBoom
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		start(t, sales)
		start(t, logistics)
		p := eventbus.NewPublisher(sales, orders)
		ids := make(map[string]trace.TraceID)
		for _, id := range []string{"good", "poison"} {
			ctx, request := l.request(t.Context())
			ids[id] = request.SpanContext().TraceID()
			time.Sleep(time.Millisecond)
			if err := p.Publish(ctx, order{ID: id}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			request.End()
		}
		closeBus(t, sales)
		closeBus(t, logistics)
		for _, s := range l.sorted() {
			if !s.Parent.IsValid() && s.Name != "GET /signup" {
				t.Errorf("%s is a trace of its own", s.Name)
			}
		}

		if got, want := l.tree(ids["good"]), `GET /signup SERVER
  send `+ordersName+` PRODUCER
    process `+ordersName+` CONSUMER #1
      send `+shipmentsName+` PRODUCER
        process `+shipmentsName+` CONSUMER #1 _OTHER: boom
        process `+shipmentsName+` CONSUMER #2
`; got != want {
			t.Errorf("the trace of a retry:\n%s\nwant\n%s", got, want)
		}
		const letters = shipmentsName + ".logistics-api-test.dlq"
		if got, want := l.tree(ids["poison"]), `GET /signup SERVER
  send `+ordersName+` PRODUCER
    process `+ordersName+` CONSUMER #1
      send `+shipmentsName+` PRODUCER
        process `+shipmentsName+` CONSUMER #1 permanent: boom
        send `+letters+` CLIENT #1
`; got != want {
			t.Errorf("the trace of a dead letter:\n%s\nwant\n%s", got, want)
		}
		for _, s := range append(l.named("send "+letters), l.named("process "+shipmentsName)...) {
			for _, key := range []string{
				"messaging.system", "eventbus.cluster", "messaging.operation.name", "messaging.operation.type", "messaging.destination.name",
				"messaging.destination.partition.id", "messaging.kafka.offset", "messaging.consumer.group.name", "messaging.message.id",
				"messaging.message.conversation_id", "cloudevents.event_id", "cloudevents.event_source", "cloudevents.event_type", "eventbus.causation_id",
			} {
				if attributeOf(s.Attributes, attribute.Key(key)) == "" {
					t.Errorf("%s has no %s", s.Name, key)
				}
			}
			for _, a := range s.Attributes {
				if strings.Contains(a.Value.String(), "poison") {
					t.Errorf("%s shows the key in %s", s.Name, a.Key)
				}
			}
		}
	})
}

// TestTraceOfRedelivery: a redelivery continues the trace of the event that was
// dead-lettered.
func TestTraceOfRedelivery(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		l, topic := newListener(), orders(t)
		bus := newBus(t, cluster, l.config("sales-api"))
		sick := true
		if err := eventbus.Subscribe(bus, topic, func(context.Context, order) error {
			if sick {
				return eventbus.Permanent(errBoom)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		start(t, bus)
		if err := eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		sick = false
		time.Sleep(time.Second)
		redeliver(t, cluster, orderLetters, ordersName+".sales-api-test.retry")
		synctest.Wait()
		closeBus(t, bus)
		sent := l.named("send " + ordersName)[0]
		if got, want := l.tree(sent.SpanContext.TraceID()), `send `+ordersName+` PRODUCER
  process `+ordersName+` CONSUMER #1 permanent: boom
  send `+orderLetters+` CLIENT #1
  process `+ordersName+`.sales-api-test.retry CONSUMER #1
`; got != want {
			t.Errorf("the trace:\n%s\nwant\n%s", got, want)
		}
		again := l.named("process " + ordersName + ".sales-api-test.retry")[0]
		if got := attributeOf(again.Attributes, "eventbus.redeliveries") + attributeOf(again.Attributes, "eventbus.origin.topic"); got != "1"+ordersName {
			t.Errorf("the redelivery's origin: %s", got)
		}
	})
}

// TestTraceOfBatches: each event of a batch has a create span, to which both the
// batch that sent it and the batch that handles it are linked.
func TestTraceOfBatches(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		l, topic := newListener(), shipments(t)
		bus := newBus(t, cluster, l.config("sales-api"))
		if err := bus.Add(eventbus.OnBatch(topic, func(context.Context, []shipment) error { return nil })); err != nil {
			t.Fatal(err)
		}
		ctx, request := l.request(t.Context())
		if err := eventbus.NewPublisher(bus, topic).PublishBatch(ctx, []shipment{{"a"}, {"b"}, {"c"}}); err != nil {
			t.Fatal(err)
		}
		request.End()
		start(t, bus)
		synctest.Wait()
		closeBus(t, bus)
		if got, want := l.tree(request.SpanContext().TraceID()), `GET /signup SERVER
  create `+shipmentsName+` PRODUCER
  create `+shipmentsName+` PRODUCER
  create `+shipmentsName+` PRODUCER
  send `+shipmentsName+` CLIENT
`; got != want {
			t.Errorf("the trace:\n%s\nwant\n%s", got, want)
		}
		made := make(map[trace.SpanID]bool)
		for _, s := range l.named("create " + shipmentsName) {
			made[s.SpanContext.SpanID()] = true
		}
		batches := append(l.named("send "+shipmentsName), l.named("process "+shipmentsName)...)
		if len(made) != 3 || len(batches) != 2 {
			t.Fatalf("%d events made, %d batches", len(made), len(batches))
		}
		for _, s := range batches {
			if got := attributeOf(s.Attributes, "messaging.batch.message_count"); got != "3" || len(s.Links) != 3 {
				t.Errorf("%s has %s events and %d links", s.Name, got, len(s.Links))
			}
			for _, link := range s.Links {
				if !made[link.SpanContext.SpanID()] {
					t.Errorf("%s is linked to %v, which made no event", s.Name, link.SpanContext.SpanID())
				}
			}
		}
	})
}

// TestTraceStaysWithTheEvent: the tracing extension says where an event was created,
// and the plain header where it was last sent, also through bridges.
func TestTraceStaysWithTheEvent(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		l, topic := newListener(), orders(t)
		bus := newBus(t, cluster, l.config("bridge"))
		if err := eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		first := cluster.Records(ordersName)[0]
		born, _ := first.Header("ce_traceparent")
		hop, _ := first.Header("traceparent")
		if len(born) == 0 || string(born) != string(hop) {
			t.Fatalf("a new event: ce_traceparent %s, traceparent %s", born, hop)
		}
		e, err := topic.Encode(order{ID: "a"}, eventbus.WithID("e-1"))
		if err != nil {
			t.Fatal(err)
		}
		e.Topic, e.Source, e.TraceParent, e.Headers = ordersName, "urn:elsewhere", string(born), first.Headers[len(first.Headers)-1:]
		before := string(e.Headers[0].Value)
		if err := bus.PublishEnvelope(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if got := string(e.Headers[0].Value); got != before {
			t.Errorf("the caller's envelope changed: %s", got)
		}
		second := cluster.Records(ordersName)[1]
		bornAgain, _ := second.Header("ce_traceparent")
		nextHop, _ := second.Header("traceparent")
		if string(bornAgain) != string(born) || string(nextHop) == string(hop) || string(nextHop)[:35] != string(hop)[:35] {
			t.Errorf("passed on: ce_traceparent %s, traceparent %s after %s", bornAgain, nextHop, hop)
		}
		if err := eventbus.Subscribe(bus, topic, func(context.Context, order) error { return nil }); err != nil {
			t.Fatal(err)
		}
		start(t, bus)
		synctest.Wait()
		closeBus(t, bus)
		handled := l.named("process " + ordersName)
		if len(handled) != 2 || len(handled[0].Links)+len(handled[1].Links) != 1 {
			t.Errorf("%d handled, of which the one passed on is to have a link to where it was created", len(handled))
		}
	})
}

// listening is a sampler that records all spans, and keeps the attributes that it was
// asked with.
type listening struct {
	mu    sync.Mutex
	asked map[string][]attribute.KeyValue // by span name
}

func (l *listening) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked[p.Name] = p.Attributes
	return sdktrace.AlwaysSample().ShouldSample(p)
}

func (l *listening) Description() string { return "listening" }

// TestSamplersDecideByTheConventions: a sampler is asked with the attributes that the
// conventions give for it, and the recorded span has those of its event as well.
func TestSamplersDecideByTheConventions(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		l, topic, sampler := newListener(), orders(t), &listening{asked: make(map[string][]attribute.KeyValue)}
		l.tracer = sdktrace.NewTracerProvider(sdktrace.WithSyncer(l.spans), sdktrace.WithSampler(sampler))
		bus := newBus(t, cluster, l.config("sales-api"))
		if err := eventbus.Subscribe(bus, topic, func(context.Context, order) error { return eventbus.Permanent(errBoom) }); err != nil {
			t.Fatal(err)
		}
		if err := eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		start(t, bus)
		synctest.Wait()
		closeBus(t, bus)
		all := []string{
			"messaging.system", "eventbus.cluster", "messaging.operation.name", "messaging.operation.type", "messaging.destination.name",
		}
		for name, want := range map[string][]string{
			"send " + ordersName:    all,
			"process " + ordersName: append(all, "messaging.destination.partition.id", "messaging.consumer.group.name"),
			"send " + orderLetters:  append(all, "messaging.consumer.group.name"),
		} {
			recorded := l.named(name)[0].Attributes
			for _, key := range want {
				got := attributeOf(sampler.asked[name], attribute.Key(key))
				if got == "" || got != attributeOf(recorded, attribute.Key(key)) {
					t.Errorf("%s: the sampler is asked with the %s %q", name, key, got)
				}
			}
			if len(sampler.asked[name]) != len(want) {
				t.Errorf("%s: the sampler is asked with %v", name, sampler.asked[name])
			}
			for _, key := range []string{"messaging.message.id", "cloudevents.event_type", "messaging.kafka.offset"} {
				if attributeOf(recorded, attribute.Key(key)) == "" && name != "send "+orderLetters {
					t.Errorf("%s is recorded without %s", name, key)
				}
			}
		}
	})
}
