// Package telemetry sends a service's traces to a collector and serves its
// metrics to Prometheus.
package telemetry

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"
)

// Start sets OpenTelemetry's global providers, which the bus uses, and returns
// what sends the rest at the end.
func Start(ctx context.Context) (end func(context.Context) error, err error) {
	spans, err := otlptracehttp.New(ctx) // to OTEL_EXPORTER_OTLP_ENDPOINT
	if err != nil {
		return nil, err
	}
	reader, err := prometheus.New() // for promhttp.Handler()
	if err != nil {
		return nil, errors.Join(err, spans.Shutdown(ctx))
	}
	tracers, meters := trace.NewTracerProvider(trace.WithBatcher(spans)), metric.NewMeterProvider(metric.WithReader(reader))
	otel.SetTracerProvider(tracers)
	otel.SetMeterProvider(meters)
	return func(ctx context.Context) error { return errors.Join(tracers.Shutdown(ctx), meters.Shutdown(ctx)) }, nil
}
