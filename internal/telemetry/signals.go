package telemetry

import (
	"log/slog"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// Signals is all that a bus reports about itself: spans, metrics and log
// records. It is safe for concurrent use. Without an SDK an event costs a few
// atomic loads and no allocation.
type Signals struct {
	cluster string
	log     *slog.Logger
	Tracing tracing
	metrics metrics

	// sent has the *SendSignals of each topic.
	sent sync.Map
	// pending is of all topics together.
	pending  pending
	Refusals Refusals
	failures LogLimit

	// mu guards the fields below, except brokers, which does not change.
	mu       sync.Mutex
	groups   []*GroupSignals
	breakers map[string]*resilience.Breaker
	brokers  func(func(int32, resilience.State) bool)
}

// NewSignals returns the signals of a bus and registers its metrics. brokers
// iterates over the circuit breakers that guard publishing, one per broker; it
// is called at each collection.
func NewSignals(c SignalsConfig, brokers func(func(int32, resilience.State) bool)) *Signals {
	s := &Signals{
		cluster:  c.Name,
		log:      c.Logger.With(LogCluster, c.Name),
		Tracing:  newTracing(c.TracerProvider, c.Propagator),
		metrics:  newMetrics(c.MeterProvider),
		breakers: make(map[string]*resilience.Breaker),
		brokers:  brokers,
	}
	s.watch()
	return s
}

// Close stops the collection of metrics, so that a provider that outlives the
// bus does not keep the bus in memory.
func (s *Signals) Close() error { return s.metrics.registration.Unregister() }

// attributes returns the attributes that every span and metric has, and more.
func (s *Signals) attributes(more ...attribute.KeyValue) []attribute.KeyValue {
	return append([]attribute.KeyValue{
		System.String(SystemKafka),
		Cluster.String(s.cluster),
	}, more...)
}

// operation returns the attributes of an operation of that name and type.
func (s *Signals) operation(name, kind string, more ...attribute.KeyValue) []attribute.KeyValue {
	return append(s.attributes(OperationName.String(name), OperationType.String(kind)), more...)
}

// SendSignals returns the signals of a topic that the bus publishes to. They are
// made once per topic, which must be a full name.
func (s *Signals) SendSignals(topic string) *SendSignals {
	if known, ok := s.sent.Load(topic); ok {
		return known.(*SendSignals)
	}
	known, _ := s.sent.LoadOrStore(topic, newSendSignals(s, topic))
	return known.(*SendSignals)
}

// Group returns the signals of a consumer group that handles those topics.
func (s *Signals) Group(name string, topics []transport.TopicStart) *GroupSignals {
	g := newGroupSignals(s, name)
	for _, topic := range topics {
		g.Topics[topic.Topic] = newProcessSignals(g, topic.Topic)
	}
	return g
}

// Breaker adds a circuit breaker to the metrics. A later one of the same name
// replaces it.
func (s *Signals) Breaker(name string, b *resilience.Breaker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.breakers[name] = b
}

// SignalsConfig is the part of a bus's configuration that signals need. A nil
// provider or propagator means OpenTelemetry's global one; Logger is required.
type SignalsConfig struct {
	// Name is the bus's, in every span, metric and log record.
	Name           string
	Logger         *slog.Logger
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
	Propagator     propagation.TextMapPropagator
}
