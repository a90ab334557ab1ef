package eventbus_test

import (
	"log/slog"

	"github.com/eventbus-go/eventbus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// benchMode says how much a bus reports in a benchmark.
type benchMode struct {
	name   string
	spans  bool
	config func() eventbus.Config
}

func benchModes() []benchMode {
	quiet := func() eventbus.Config {
		c := config()
		c.Logger = slog.New(slog.DiscardHandler)
		return c
	}
	return []benchMode{
		{"off", false, quiet},
		{"noop", false, func() eventbus.Config {
			c := quiet()
			c.TracerProvider = noop.NewTracerProvider()
			return c
		}},
		{"metrics", false, func() eventbus.Config {
			c := quiet()
			c.MeterProvider = metric.NewMeterProvider(metric.WithReader(metric.NewManualReader()))
			return c
		}},
		{"traces", true, func() eventbus.Config {
			c := quiet()
			c.TracerProvider = trace.NewTracerProvider(trace.WithSampler(trace.AlwaysSample()))
			return c
		}},
		{"unsampled", true, func() eventbus.Config {
			c := quiet()
			c.TracerProvider = trace.NewTracerProvider(trace.WithSampler(trace.NeverSample()))
			return c
		}},
	}
}
