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

// signals is what the bus tells of itself: spans, metrics and log records. Where no
// SDK listens it costs an event a few loads and no memory.
type Signals struct {
	cluster string
	log     *slog.Logger
	Tracing tracing
	metrics metrics

	sent     sync.Map // topic → *sending
	pending  pending
	failures logLimit

	mu       sync.Mutex
	groups   []*GroupSignals
	breakers map[string]*resilience.Breaker
	brokers  func(func(int32, resilience.State) bool)
}

// newSignals resolves the providers: those of the configuration, else the globals.
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

// close ends the observation of what is to be gone.
func (s *Signals) Close() error { return s.metrics.registration.Unregister() }

// attributes begin with those that all spans and metrics have.
func (s *Signals) attributes(more ...attribute.KeyValue) []attribute.KeyValue {
	return append([]attribute.KeyValue{
		System.String(SystemKafka),
		Cluster.String(s.cluster),
	}, more...)
}

// operation is attributes of an operation.
func (s *Signals) operation(name, kind string, more ...attribute.KeyValue) []attribute.KeyValue {
	return append(s.attributes(OperationName.String(name), OperationType.String(kind)), more...)
}

// sending is what is signals of a topic that is published on.
func (s *Signals) SendSignals(topic string) *SendSignals {
	if known, ok := s.sent.Load(topic); ok {
		return known.(*SendSignals)
	}
	known, _ := s.sent.LoadOrStore(topic, newSending(s, topic))
	return known.(*SendSignals)
}

// group is what is signals of a consumer group that handles those topics.
func (s *Signals) Group(name string, topics []transport.TopicStart) *GroupSignals {
	g := newGroupSignals(s, name)
	for _, topic := range topics {
		g.Topics[topic.Topic] = newHandling(g, topic.Topic)
	}
	return g
}

// breaker shows a circuit breaker's state from now on.
func (s *Signals) Breaker(name string, b *resilience.Breaker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.breakers[name] = b
}

// signalsConfig is what signals needs to know of a bus.
type SignalsConfig struct {
	Name           string
	Logger         *slog.Logger
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
	Propagator     propagation.TextMapPropagator
}
