package eventbus

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// Config configures a Bus. Service and Environment are required; every other
// zero value is a default that loses nothing.
type Config struct {
	// Service is the name of the service that uses the bus. It names the
	// consumer group, {service}-{env}, and by default the Source.
	Service string
	// Environment is the first part of every topic name: Development, Test,
	// Staging and Production are shortened to dev, test, stag and prod, any
	// other name is lower-cased.
	Environment string
	// Source is the CloudEvents source of what is published, a URI-reference
	// (CloudEvents 1.0.2, section 3.1.1). Default "urn:{service}".
	Source string
	// Name of the cluster in logs, health and metrics, where a service talks
	// to several. Default "kafka".
	Name string

	// Topics are the topics whose events Publish and Handle find by their Go types, as
	// the contracts packages list them. Naming a topic here neither publishes nor
	// handles it. A type that two of them declare is an error.
	Topics []AnyTopic

	// AutoProvision says whether the bus creates topics that are missing.
	// Default: not in Production.
	AutoProvision Provisioning
	// StartDegraded lets Start succeed without a broker, or without a topic:
	// the bus goes on trying, and health says so.
	StartDegraded bool
	// Structured publishes structured-mode CloudEvents (one JSON document)
	// instead of binary mode (attributes in headers).
	Structured bool

	// Producer bounds what is accepted and not yet acknowledged, and for how
	// long it is retried.
	Producer transport.ProducerConfig
	// PublishBreaker is the circuit breaker of publishing, one per broker.
	PublishBreaker resilience.BreakerConfig

	// InstanceID makes the bus a static member of its groups (KIP-345): a
	// restart shorter than SessionTimeout moves no partitions.
	InstanceID string
	// SessionTimeout, HeartbeatInterval and RebalanceTimeout are the group
	// membership's. Defaults 45 s, 3 s and 60 s.
	SessionTimeout, HeartbeatInterval, RebalanceTimeout time.Duration
	// FetchBytes bounds what each group has fetched ahead. Default 16 MiB.
	FetchBytes int
	// Bounds limit what each group holds in memory.
	Bounds Bounds
	// CommitInterval is the time between commits. Default one second.
	CommitInterval time.Duration

	// HandlerGrace is how long events of a type are held after the last member of
	// the group that handled it has left, before the policy for unknown types
	// applies to them: so that a deployment which is rolled back, or a restart in
	// which an older member comes up first, loses none. Default 10 minutes.
	HandlerGrace time.Duration

	// Handling holds what subscriptions do that say nothing else.
	Handling []SubscribeOption
	// PublishMiddleware is what every event that is published passes through, in order.
	PublishMiddleware []PublishMiddleware

	// DrainTimeout bounds the shutdown of Run. Default 30 s.
	DrainTimeout time.Duration
	// StuckAfter is how long a partition may hold unfinished events without
	// any progress before the bus is not ready. Default 5 minutes.
	StuckAfter time.Duration

	// Logger; default slog.Default().
	Logger *slog.Logger
	// TracerProvider, MeterProvider and Propagator; the OpenTelemetry globals
	// by default (W3C trace context where no global propagator is set).
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
	Propagator     propagation.TextMapPropagator
}

// Bounds limit what a group holds in memory; the zero value takes the defaults.
// At a bound the partitions concerned stop fetching. They stay assigned, and the
// member keeps heartbeating.
type Bounds struct {
	// Records and Bytes bound what is fetched and not finished. Defaults
	// 20,000 and 64 MiB.
	Records int
	Bytes   int64
	// MinRecords is what each partition may hold whatever the others do.
	// Default 100.
	MinRecords int
	// ParkedKeys bounds the keys that wait for a retry, a breaker or a dead
	// letter; their events may take half of Bytes. Default 5,000.
	ParkedKeys int
}

var _ = engine.Bounds(Bounds{})

// Provisioning says whether a bus creates missing topics.
type Provisioning int8

const (
	// ProvisionByEnvironment creates topics everywhere but in Production.
	ProvisionByEnvironment Provisioning = iota
	// ProvisionAlways creates them.
	ProvisionAlways
	// ProvisionNever makes a missing topic ErrTopicMissing.
	ProvisionNever
)

// Validate tells everything that is wrong with the configuration at once, and
// what to write instead. New calls it.
func (c Config) Validate() error {
	_, err := c.resolve()
	return err
}

// resolved is a configuration with its defaults filled in.
type resolved struct {
	Config
	env       string
	provision bool
	byType    typeTable
}

func (c Config) resolve() (resolved, error) {
	var wrong []error
	fault := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	switch {
	case c.Service == "":
		fault(`Service is empty: name the service, as "sales-api"`)
	case naming.SegmentFault(strings.ToLower(c.Service)) != "":
		fault("Service %q %s: it names the consumer group", c.Service, naming.SegmentFault(strings.ToLower(c.Service)))
	}
	env := ""
	if c.Environment == "" {
		fault(`Environment is empty: name it, as "Development" or "Production"`)
	} else if segment, err := EnvironmentSegment(c.Environment); err != nil {
		fault("Environment: %w", err)
	} else {
		env = segment
	}
	if err := wire.CheckReference(c.Source); err != nil {
		fault(`Source %q %w: write a URI such as "urn:sales-api" or "https://example.com/sales", with everything else percent-encoded`, c.Source, err)
	}
	for name, d := range map[string]time.Duration{
		"SessionTimeout": c.SessionTimeout, "HeartbeatInterval": c.HeartbeatInterval, "RebalanceTimeout": c.RebalanceTimeout,
		"CommitInterval": c.CommitInterval, "DrainTimeout": c.DrainTimeout, "StuckAfter": c.StuckAfter, "HandlerGrace": c.HandlerGrace,
		"Producer.DeliveryTimeout": c.Producer.DeliveryTimeout,
	} {
		if d < 0 {
			fault("%s is %v: use a positive duration, or zero for the default", name, d)
		}
	}
	if s, h := c.SessionTimeout, c.HeartbeatInterval; s > 0 && h > 0 && h > s/3 {
		fault("HeartbeatInterval is %v: at most a third of SessionTimeout, %v", h, s/3)
	}
	for name, n := range map[string]int64{
		"FetchBytes": int64(c.FetchBytes), "Bounds.Records": int64(c.Bounds.Records), "Bounds.Bytes": c.Bounds.Bytes,
		"Bounds.MinRecords": int64(c.Bounds.MinRecords), "Bounds.ParkedKeys": int64(c.Bounds.ParkedKeys),
	} {
		if n < 0 {
			fault("%s is %d: use a positive number, or zero for the default", name, n)
		}
	}
	if c.AutoProvision < ProvisionByEnvironment || c.AutoProvision > ProvisionNever {
		fault("AutoProvision is %d: use ProvisionByEnvironment, ProvisionAlways or ProvisionNever", c.AutoProvision)
	}
	for i, m := range c.PublishMiddleware {
		if m == nil {
			fault("PublishMiddleware has a nil at %d: remove it", i)
		}
	}
	byType, err := newTypeTable(c.Topics)
	if err != nil {
		wrong = append(wrong, err)
	}
	if len(wrong) > 0 {
		return resolved{}, &Error{Op: "configure", Err: errors.Join(wrong...)}
	}
	r := resolved{Config: c, env: env, byType: byType}
	if r.Source == "" {
		r.Source = "urn:" + c.Service
	}
	if r.Name == "" {
		r.Name = "kafka"
	}
	if r.DrainTimeout == 0 {
		r.DrainTimeout = 30 * time.Second
	}
	if r.HandlerGrace == 0 {
		r.HandlerGrace = engine.DefaultHandlerGrace
	}
	if r.StuckAfter == 0 {
		r.StuckAfter = 5 * time.Minute
	}
	if r.Logger == nil {
		r.Logger = slog.Default()
	}
	r.provision = c.AutoProvision == ProvisionAlways || c.AutoProvision == ProvisionByEnvironment && env != "prod"
	return r, nil
}
