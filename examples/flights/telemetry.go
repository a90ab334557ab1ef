package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

// defaultOTLP is where collectors listen for OTLP over HTTP by default.
const defaultOTLP = "http://localhost:4318"

// How often metrics are sent, how long the last export may take, and how many
// spans may wait to be sent: the SDK drops those beyond, and 27,000 flights
// make them faster than a collector takes them.
const (
	exportEvery  = 2 * time.Second
	exportWithin = 5 * time.Second
	maxSpans     = 1 << 15
)

// endpoint is a flag that may stand alone, or have a value as in --otlp=URL.
type endpoint string

// String implements flag.Value.
func (e *endpoint) String() string { return string(*e) }

// IsBoolFlag makes package flag accept the flag without a value.
func (*endpoint) IsBoolFlag() bool { return true }

// Set implements flag.Value. The flag alone arrives as "true".
func (e *endpoint) Set(text string) error {
	if text == "true" {
		text = defaultOTLP
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("write a URL such as " + defaultOTLP)
	}
	*e = endpoint(text)
	return nil
}

// telemetry exports the spans and metrics of the services. Each service has
// providers of its own, as it would in a process of its own: the resource
// attribute service.name tells them apart.
type telemetry struct {
	otlp      endpoint
	gatherers prometheus.Gatherers
	// address is where /metrics is served, nil if it is not.
	address net.Addr
	// ends holds what close calls, in reverse order.
	ends []func(context.Context) error
}

// service holds the providers of one service. Either is nil if nothing is
// exported through it.
type service struct {
	tracer *trace.TracerProvider
	meter  *metric.MeterProvider
}

// reportOnce prints the first error of the export and no other: a collector
// that does not answer would fill the screen.
func (t *telemetry) reportOnce(out io.Writer) {
	// The handler is the process's: close puts the one before it back.
	before := otel.GetErrorHandler()
	t.ends = append(t.ends, func(context.Context) error {
		otel.SetErrorHandler(before)
		return nil
	})
	// The handler is called from the goroutines of all exporters.
	var once sync.Once
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		once.Do(func() { _, _ = fmt.Fprintln(out, "flights: telemetry is not taken:", err) })
	}))
}

// of makes the providers of a service. served says that its metrics are also to
// be served for Prometheus.
func (t *telemetry) of(ctx context.Context, name string, served bool) (s service, err error) {
	about := resource.NewSchemaless(attribute.String("service.name", name))
	readers := []metric.Option{metric.WithResource(about)}
	if served {
		// One for each service: both have metrics of the same names, which one registry
		// would refuse. The constant label service.name keeps them apart.
		registry := prometheus.NewRegistry()
		// The names of metrics are those that docs/grafana/eventbus.json asks
		// for.
		reader, err := exporter.New(exporter.WithRegisterer(registry),
			exporter.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes),
			exporter.WithResourceAsConstantLabels(attribute.NewAllowKeysFilter("service.name")))
		if err != nil {
			return s, err
		}
		readers = append(readers, metric.WithReader(reader))
		t.gatherers = append(t.gatherers, registry)
	}
	if t.otlp != "" {
		// JoinPath keeps a path that the URL has, such as that of a gateway.
		target, err := url.Parse(string(t.otlp))
		if err != nil {
			return s, err
		}
		// No connection is made here: a collector that is away does not fail the start.
		spans, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(target.JoinPath("v1/traces").String()))
		if err != nil {
			return s, err
		}
		s.tracer = trace.NewTracerProvider(trace.WithResource(about), trace.WithBatcher(spans, trace.WithMaxQueueSize(maxSpans)))
		t.ends = append(t.ends, s.tracer.Shutdown)
		metrics, err := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(target.JoinPath("v1/metrics").String()))
		if err != nil {
			return s, err
		}
		readers = append(readers, metric.WithReader(metric.NewPeriodicReader(metrics, metric.WithInterval(exportEvery))))
	}
	// The first option is the resource, which exports nothing by itself.
	if len(readers) > 1 {
		s.meter = metric.NewMeterProvider(readers...)
		t.ends = append(t.ends, s.meter.Shutdown)
	}
	return s, nil
}

// serve serves /metrics, on a loopback address if address has no host.
func (t *telemetry) serve(ctx context.Context, address string) error {
	if host, port, err := net.SplitHostPort(address); err == nil && host == "" {
		// Nobody is asked for a password here.
		address = net.JoinHostPort("127.0.0.1", port)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("--metrics: %w", err)
	}
	// Port 0 asks for a free one, which only the listener knows.
	t.address = listener.Addr()
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(t.gatherers, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: exportWithin, WriteTimeout: 30 * time.Second}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.ends = append(t.ends, func(ctx context.Context) error {
		defer serving.Wait()
		// Close ends the connections that Shutdown has left when its time is over.
		return errors.Join(server.Shutdown(ctx), server.Close())
	})
	return nil
}

// url returns the address of /metrics.
func (t *telemetry) url() string { return "http://" + t.address.String() + "/metrics" }

// close exports what is left, and stops. A collector that does not take it does
// not fail the run.
func (t *telemetry) close() {
	ctx, cancel := context.WithTimeout(context.Background(), exportWithin)
	defer cancel()
	// The error handler was set first, so it is there until the last export.
	for _, end := range slices.Backward(t.ends) {
		if err := end(ctx); err != nil {
			otel.Handle(err)
		}
	}
}
