// Package service is what both services share.
package service

import (
	"context"

	"github.com/eventbus-go/eventbus/examples/eight/shop"
	"github.com/eventbus-go/eventbus/fxmodule"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"
)

// Module is the bus with traces, health and the admin handler. Their addresses are in
// appsettings.json.
var Module = fx.Options(fxmodule.Module, fxmodule.FromEnvironment(), fxmodule.Topics(shop.Topics...), fxmodule.AdminServer(""), fx.Provide(traces))

func traces(life fx.Lifecycle) (trace.TracerProvider, error) {
	exporter, err := otlptracehttp.New(context.Background()) // to OTEL_EXPORTER_OTLP_ENDPOINT
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter))
	life.Append(fx.StopHook(provider.Shutdown))
	return provider, err
}
