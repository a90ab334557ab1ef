// Package telemetry holds every name by which the bus is seen from outside: of
// spans (span.go), metrics (metric.go), attributes (attribute.go) and the fields
// of log records (log.go). What OpenTelemetry's semantic conventions for
// messaging (version 1.43) and for CloudEvents name has their name; what they do
// not know begins with "eventbus.".
package telemetry

// Scope is the instrumentation scope of spans and metrics, and SchemaURL the
// version of the conventions that they follow.
const (
	Scope     = "github.com/eventbus-go/eventbus"
	SchemaURL = "https://opentelemetry.io/schemas/1.43.0"
)
