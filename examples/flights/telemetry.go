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

// defaultOTLP is where collectors listen for OTLP over HTTP.
const defaultOTLP = "http://localhost:4318"

// Times of the export.
const (
	exportEvery  = 2 * time.Second
	exportWithin = 5 * time.Second // what is left at the end
	maxSpans     = 1 << 15         // that wait to be sent; more are dropped
)

// endpoint is a flag that may stand alone, or with a value as --otlp=URL.
type endpoint string

func (e *endpoint) String() string { return string(*e) }

// IsBoolFlag lets the flag stand alone.
func (*endpoint) IsBoolFlag() bool { return true }

// Set implements flag.Value; "true" is the flag alone.
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

// telemetry is where the services' spans and metrics go. Each service has
// providers of its own, as it would have in a process of its own.
type telemetry struct {
	otlp      endpoint
	gatherers prometheus.Gatherers
	address   net.Addr // of /metrics; nil: not served
	ends      []func(context.Context) error
}

// service is what one service exports through. Either is nil where nobody asked
// for it.
type service struct {
	tracer *trace.TracerProvider
	meter  *metric.MeterProvider
}

// complain has the first thing that goes wrong with the export said to out, and
// nothing after it: a collector that is not there would fill the screen.
func (t *telemetry) complain(out io.Writer) {
	before := otel.GetErrorHandler()
	t.ends = append(t.ends, func(context.Context) error {
		otel.SetErrorHandler(before)
		return nil
	})
	var once sync.Once
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		once.Do(func() { _, _ = fmt.Fprintln(out, "flights: telemetry is not taken:", err) })
	}))
}

// of makes the providers of a service.
func (t *telemetry) of(ctx context.Context, name string, served bool) (s service, err error) {
	about := resource.NewSchemaless(attribute.String("service.name", name))
	readers := []metric.Option{metric.WithResource(about)}
	if served {
		registry := prometheus.NewRegistry()
		reader, err := exporter.New(exporter.WithRegisterer(registry),
			exporter.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes), // names as docs/grafana has them
			exporter.WithResourceAsConstantLabels(attribute.NewAllowKeysFilter("service.name")))
		if err != nil {
			return s, err
		}
		readers = append(readers, metric.WithReader(reader))
		t.gatherers = append(t.gatherers, registry)
	}
	if t.otlp != "" {
		target, err := url.Parse(string(t.otlp))
		if err != nil {
			return s, err
		}
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
	if len(readers) > 1 {
		s.meter = metric.NewMeterProvider(readers...)
		t.ends = append(t.ends, s.meter.Shutdown)
	}
	return s, nil
}

// serve offers /metrics to Prometheus, on a loopback address where no host is
// named.
func (t *telemetry) serve(ctx context.Context, address string) error {
	if host, port, err := net.SplitHostPort(address); err == nil && host == "" {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("--metrics: %w", err)
	}
	t.address = listener.Addr()
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(t.gatherers, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: exportWithin}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) }) // until it is shut down
	t.ends = append(t.ends, func(ctx context.Context) error {
		defer serving.Wait()
		return errors.Join(server.Shutdown(ctx), server.Close())
	})
	return nil
}

// url is where /metrics is.
func (t *telemetry) url() string { return "http://" + t.address.String() + "/metrics" }

// close sends what is left, and ends. What a collector did not take is no fault of
// the run's.
func (t *telemetry) close() {
	ctx, cancel := context.WithTimeout(context.Background(), exportWithin)
	defer cancel()
	for _, end := range slices.Backward(t.ends) {
		if err := end(ctx); err != nil {
			otel.Handle(err)
		}
	}
}
