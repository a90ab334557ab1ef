package eventbus

import (
	"log/slog"
	"sync"

	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
	"go.opentelemetry.io/otel/attribute"
)

// signals is what the bus tells of itself: spans, metrics and log records. Where no
// SDK listens it costs an event a few loads and no memory.
type signals struct {
	cluster string
	log     *slog.Logger
	tracing tracing
	metrics metrics

	sent     sync.Map // topic → *sending
	pending  pending
	failures logLimit

	mu       sync.Mutex
	groups   []*groupSignals
	breakers map[string]*resilience.Breaker
	brokers  *publishBreakers
}

// newSignals resolves the providers: those of the configuration, else the globals.
func newSignals(c *resolved, brokers *publishBreakers) *signals {
	s := &signals{
		cluster:  c.Name,
		log:      c.Logger.With(telemetry.LogCluster, c.Name),
		tracing:  newTracing(c.TracerProvider, c.Propagator),
		metrics:  newMetrics(c.MeterProvider),
		breakers: make(map[string]*resilience.Breaker),
		brokers:  brokers,
	}
	s.watch()
	return s
}

// close ends the observation of what is to be gone.
func (s *signals) close() error { return s.metrics.registration.Unregister() }

// attributes begin with those that all spans and metrics have.
func (s *signals) attributes(more ...attribute.KeyValue) []attribute.KeyValue {
	return append([]attribute.KeyValue{
		telemetry.System.String(telemetry.SystemKafka),
		telemetry.Cluster.String(s.cluster),
	}, more...)
}

// operation is attributes of an operation.
func (s *signals) operation(name, kind string, more ...attribute.KeyValue) []attribute.KeyValue {
	return append(s.attributes(telemetry.OperationName.String(name), telemetry.OperationType.String(kind)), more...)
}

// sending is what is signals of a topic that is published on.
func (s *signals) sending(topic string) *sending {
	if known, ok := s.sent.Load(topic); ok {
		return known.(*sending)
	}
	known, _ := s.sent.LoadOrStore(topic, newSending(s, topic))
	return known.(*sending)
}

// group is what is signals of a consumer group that handles those topics.
func (s *signals) group(name string, topics []transport.TopicStart) *groupSignals {
	g := newGroupSignals(s, name)
	for _, topic := range topics {
		g.topics[topic.Topic] = newHandling(g, topic.Topic)
	}
	return g
}

// breaker shows a circuit breaker's state from now on.
func (s *signals) breaker(name string, b *resilience.Breaker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.breakers[name] = b
}
