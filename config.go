package eventbus

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
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

// Config configures a Bus. Service and Environment are required. The zero value of every
// other field is a default that loses no event.
type Config struct {
	// Service is the name of the service that uses the bus. It names the consumer group,
	// {service}-{env}, and by default Source.
	Service string
	// Environment is the first part of every topic name. Development, Test, Staging and
	// Production are shortened to dev, test, stag and prod; any other name is
	// lower-cased.
	Environment string
	// Source is the CloudEvents source of published events, a URI-reference
	// (CloudEvents 1.0.2, section 3.1.1). Default "urn:{service}".
	Source string
	// Name is the cluster's name in logs, health and metrics, for services that talk to
	// several. Default "kafka".
	Name string

	// Topics are the topics that Publish and Handle look up by the Go types of their
	// events, as contracts packages list them. Listing a topic neither publishes to nor
	// handles it. It is an error if two of them declare the same type.
	Topics []AnyTopic

	// AutoProvision says whether the bus creates missing topics. By default it does,
	// except in Production.
	AutoProvision Provisioning
	// StartDegraded lets Start succeed without a broker or a topic. The bus keeps trying
	// in the background, and health reports it.
	StartDegraded bool
	// Structured publishes structured-mode CloudEvents (one JSON document)
	// instead of binary mode (attributes in headers).
	Structured bool

	// Producer bounds the events that are accepted and not yet acknowledged, and how long
	// they are retried.
	Producer transport.ProducerConfig
	// PublishBreaker is the circuit breaker of publishing, one per broker.
	PublishBreaker resilience.BreakerConfig

	// InstanceID makes the bus a static member of its groups (KIP-345): a restart shorter
	// than SessionTimeout moves no partitions.
	InstanceID string
	// SessionTimeout, HeartbeatInterval and RebalanceTimeout configure group membership.
	// Defaults 45 s, 3 s and 60 s.
	SessionTimeout, HeartbeatInterval, RebalanceTimeout time.Duration
	// FetchBytes bounds what each group fetches ahead, in bytes. Default 16 MiB.
	FetchBytes int
	// Bounds limit what each group holds in memory.
	Bounds Bounds
	// CommitInterval is the time between commits. Default one second.
	CommitInterval time.Duration

	// HandlerGrace is how long events of a type are held after the last member that
	// handled the type has left the group, before the policy for unknown types applies to
	// them. A deployment that is rolled back, or a restart in which an older member comes
	// up first, then loses none. Default 10 minutes.
	HandlerGrace time.Duration

	// Handling lists default options for all subscriptions. A subscription's own options
	// override them.
	Handling []SubscribeOption
	// PublishMiddleware runs on every published event, in order.
	PublishMiddleware []PublishMiddleware

	// DrainTimeout bounds the shutdown of Run. Default 30 s.
	DrainTimeout time.Duration
	// StuckAfter is how long a partition may have unfinished events without any progress
	// before the bus reports that it is not ready. Default 5 minutes.
	StuckAfter time.Duration

	// Logger is where the bus logs. Default slog.Default().
	Logger *slog.Logger
	// TracerProvider, MeterProvider and Propagator default to the OpenTelemetry globals,
	// and to W3C trace context if no global propagator is set.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
	Propagator     propagation.TextMapPropagator
}

// Bounds limits what a group holds in memory. A zero field means its default. When a bound
// is reached, the partitions concerned stop fetching; they stay assigned, and the member
// keeps heartbeating.
type Bounds struct {
	// Records and Bytes bound what is fetched and not finished. Defaults 20,000 and
	// 64 MiB.
	Records int
	Bytes   int64
	// MinRecords is what each partition may hold regardless of the others. Default 100.
	MinRecords int
	// ParkedKeys bounds the keys that wait for a retry, a breaker or a dead letter. Their
	// events may take half of Bytes. Default 5,000.
	ParkedKeys int
}

var _ = engine.Bounds(Bounds{})

// Provisioning says whether a bus creates missing topics.
type Provisioning int8

const (
	// ProvisionByEnvironment creates missing topics, except in Production.
	ProvisionByEnvironment Provisioning = iota
	// ProvisionAlways creates missing topics.
	ProvisionAlways
	// ProvisionNever returns ErrTopicMissing for a missing topic.
	ProvisionNever
)

// Validate returns an error that names every fault of the configuration, and what to write
// instead, or nil. New calls it.
func (c Config) Validate() error {
	_, err := c.resolve()
	return err
}

// maxOnTheWire is the longest duration of Kafka's protocol, which counts milliseconds in 32 bits.
const maxOnTheWire = math.MaxInt32 * time.Millisecond

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
		switch {
		case d < 0:
			fault("%s is %v: use a positive duration, or zero for the default", name, d)
		case d > 0 && d < time.Millisecond && name != "HandlerGrace": // which may be next to none
			fault("%s is %v: use a millisecond or more; a number without a unit counts nanoseconds", name, d)
		case d > maxOnTheWire && (name == "SessionTimeout" || name == "RebalanceTimeout"):
			fault("%s is %v: Kafka allows at most %v", name, d, maxOnTheWire)
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
