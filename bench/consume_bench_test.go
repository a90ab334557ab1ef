package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/bench/internal/event"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// standardJSON is encoding/json as a codec, so that codecs don't decide a comparison.
type standardJSON struct{}

func (standardJSON) ContentType() string { return event.ContentType }

func (standardJSON) Encode(_ context.Context, dst []byte, _ *eventbus.Envelope, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	return append(dst, data...), err
}

func (standardJSON) Decode(_ context.Context, e *eventbus.Envelope, v any) error {
	return json.Unmarshal(e.Data, v)
}

// noJSON decodes nothing, so that only the bus's own cost of an event is measured.
type noJSON struct{ standardJSON }

func (noJSON) Decode(context.Context, *eventbus.Envelope, any) error { return nil }

// BenchmarkConsume measures CPU time and allocations of a successful event, from a
// transport in this process to the handler and the commit. The rate means nothing:
// compare cpu-ns/event. Telemetry is off, off with events that carry a trace, or on
// with such events, which cost more by themselves.
func BenchmarkConsume(b *testing.B) {
	for _, codec := range []struct {
		name  string
		codec eventbus.Codec
	}{{"none", noJSON{}}, {"default", nil}, {"encoding-json", standardJSON{}}} {
		for _, shape := range []struct {
			name        string
			concurrency int
		}{{"64", 64}, {"1", 1}} {
			for _, telemetry := range []struct {
				name            string
				carried, listen bool
			}{{"off", false, false}, {"carried", true, false}, {"on", true, true}} {
				b.Run(codec.name+"/"+shape.name+"/telemetry-"+telemetry.name, func(b *testing.B) {
					benchmarkConsume(b, codec.codec, shape.concurrency, telemetry.carried, telemetry.listen)
				})
			}
		}
	}
}

// consumeConfig returns the configuration of a bus without telemetry, or with a sampler
// of every tenth span, as is usual for services, and a reader of all metrics.
func consumeConfig(telemetry bool) eventbus.Config {
	c := eventbus.Config{
		Service: "bench", Environment: "Test", Source: event.SourceURI, Logger: slog.New(slog.DiscardHandler),
	}
	if telemetry {
		c.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
		c.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0.1))),
			sdktrace.WithBatcher(tracetest.NewNoopExporter()))
	}
	return c
}

func benchmarkConsume(b *testing.B, codec eventbus.Codec, concurrency int, carried, listen bool) {
	cluster := memory.New()
	topic := eventbus.NewTopic(eventbus.TopicConfig[event.Order]{
		Domain: "bench", Name: "order", Unversioned: true, Type: event.Type, Codec: codec, Partitions: 6,
		Key: func(o event.Order) string { return o.Customer },
	})
	bus, err := eventbus.New(cluster, consumeConfig(listen))
	if err != nil {
		b.Fatal(err)
	}
	var handled atomic.Int64
	done := make(chan struct{})
	if err := eventbus.Subscribe(bus, topic, func(context.Context, event.Order) error {
		if handled.Add(1) == int64(b.N) {
			close(done)
		}
		return nil
	}, eventbus.Concurrency(concurrency)); err != nil {
		b.Fatal(err)
	}
	// Fill the topic through another bus, so that it does not affect this one's
	// telemetry.
	filler, err := eventbus.New(cluster, consumeConfig(carried))
	if err != nil {
		b.Fatal(err)
	}
	publisher, source := eventbus.NewPublisher(filler, topic), event.NewSource(10_000)
	receipts := make([]eventbus.Receipt, b.N)
	for i := range receipts {
		receipts[i] = publisher.PublishAsync(context.Background(), source.At(i))
	}
	for i := range receipts {
		if _, err := receipts[i].Wait(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime(b)
	if err := bus.Start(context.Background()); err != nil {
		b.Fatal(err)
	}
	<-done
	b.StopTimer()
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/event")
	if err := errors.Join(bus.Close(context.Background()), filler.Close(context.Background())); err != nil {
		b.Fatal(err)
	}
}

// cpuTime returns the CPU time of the process, in user and system mode.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
