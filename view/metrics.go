package view

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// observe registers the metrics of a view until the function that it returns is
// called: its keys, bytes, rebuilds, how far it is behind, and whether it serves.
func observe(provider metric.MeterProvider, topic string, status func() Status) (unregister func()) {
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	m := provider.Meter("github.com/eventbus-go/eventbus/view")
	keys := made(m.Int64ObservableGauge("eventbus.view.keys", metric.WithUnit("{key}"), metric.WithDescription("Keys in the table of a view.")))
	bytes := made(m.Int64ObservableGauge("eventbus.view.size", metric.WithUnit("By"), metric.WithDescription("Bytes that the table of a view takes.")))
	behind := made(m.Int64ObservableGauge("eventbus.view.lag", metric.WithUnit("{offset}"), metric.WithDescription("Offsets that a view is behind its topic.")))
	serving := made(m.Int64ObservableGauge("eventbus.view.ready", metric.WithUnit("1"), metric.WithDescription("1 while a view serves and follows its topic.")))
	rebuilds := made(m.Int64ObservableCounter("eventbus.view.rebuilds", metric.WithUnit("{rebuild}"), metric.WithDescription("Times that a view read its topic again from the start.")))
	own := metric.WithAttributes(attribute.String("messaging.destination.name", topic))
	// The callback runs only when metrics are collected, so a view that nobody measures
	// pays nothing.
	registration, err := m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := status()
		ready := int64(0)
		if s.Phase == Following && s.Err == nil {
			ready = 1
		}
		o.ObserveInt64(keys, s.Keys, own)
		o.ObserveInt64(bytes, s.Bytes, own)
		o.ObserveInt64(behind, s.Behind, own)
		o.ObserveInt64(serving, ready, own)
		o.ObserveInt64(rebuilds, s.Rebuilds, own)
		return nil
	}, keys, bytes, behind, serving, rebuilds)
	if err != nil {
		// A view without metrics still serves.
		otel.Handle(fmt.Errorf("view: metrics: %w", err))
		return func() {}
	}
	return func() { _ = registration.Unregister() }
}

// made reports an error to OpenTelemetry and returns the instrument, which is usable
// either way.
func made[I any](instrument I, err error) I {
	if err != nil {
		otel.Handle(err)
	}
	return instrument
}
