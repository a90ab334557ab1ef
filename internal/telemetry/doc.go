// Package telemetry reports what a bus does, as OpenTelemetry spans and metrics and as log
// records. It only observes: it calls no handler, and writes nothing into an event on its
// way. Publishing code writes the TraceContext that it returns.
//
// Names that OpenTelemetry's semantic conventions for messaging (version 1.43) and for
// CloudEvents define are used unchanged; all others begin with "eventbus.". Attribute
// sets and options are built once per topic and group, so an event without a listening
// SDK allocates nothing here.
//
//	attribute.go    names of attributes
//	metric.go       names, units and descriptions of metrics
//	span.go         names of spans, and how the spans of an event are related
//	log.go          names of the fields of log records
//	signals.go      Signals, everything that one bus reports
//	instruments.go  the instruments, and labels that are built once
//	watch.go        values that are read at each collection
//	tracing.go      spans on and off, and trace context in events
//	send.go         SendSignals: publishing to one topic
//	group.go        GroupSignals: one consumer group, observing its engine
//	process.go      ProcessSignals: handling the events of one topic
//	consumer.go     what passes between an engine and its consumer
//	event.go        the attributes and fields of one event
//	error.go        error.type, and spans that failed
//	log_limit.go    a bound on log records about failures
//	unstable.go     how long transactions hold back a partition
package telemetry

// Scope is the instrumentation scope of spans and metrics, and SchemaURL the
// version of the conventions that they follow.
const (
	Scope     = "github.com/eventbus-go/eventbus"
	SchemaURL = "https://opentelemetry.io/schemas/1.43.0"
)
