package telemetry

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// watched are the instruments that are read at each collection. Between
// collections they cost nothing, and reading them sends no request to a broker.
type watched struct {
	pendingEvents, pendingSize          metric.Int64ObservableUpDownCounter
	bufferedEvents, bufferedSize        metric.Int64ObservableUpDownCounter
	parkedKeys, parkedSize, held        metric.Int64ObservableUpDownCounter
	running, stuck, withheld            metric.Int64ObservableUpDownCounter
	partitions, lag, unstable           metric.Int64ObservableUpDownCounter
	uncarried                           metric.Int64ObservableUpDownCounter
	rebalances                          metric.Int64ObservableCounter
	unstableAge, oldestAge, progressAge metric.Float64ObservableGauge
	starvedAge                          metric.Float64ObservableGauge
	parkedUse, heldUse, metadataUse     metric.Float64ObservableGauge
	paused, breakers                    metric.Int64ObservableGauge
}

// watch registers the watched instruments with one callback, so that one
// collection reads one snapshot of each engine and its values fit together.
func (s *Signals) watch() {
	m := s.metrics.meter
	w := &watched{
		pendingEvents:  PendingEvents.Level(m),
		pendingSize:    PendingSize.Level(m),
		bufferedEvents: BufferedEvents.Level(m),
		bufferedSize:   BufferedSize.Level(m),
		parkedKeys:     ParkedKeys.Level(m),
		parkedSize:     ParkedSize.Level(m),
		held:           HeldEvents.Level(m),
		running:        RunningHandlers.Level(m),
		stuck:          StuckHandlers.Level(m),
		withheld:       WithheldHandlers.Level(m),
		starvedAge:     StarvedAge.Number(m),
		parkedUse:      ParkedUse.Number(m),
		heldUse:        HeldUse.Number(m),
		metadataUse:    MetadataUse.Number(m),
		uncarried:      Uncarried.Level(m),
		partitions:     AssignedPartitions.Level(m),
		lag:            Lag.Level(m),
		unstable:       Unstable.Level(m),
		rebalances:     Rebalances.Total(m),
		unstableAge:    UnstableAge.Number(m),
		oldestAge:      OldestAge.Number(m),
		progressAge:    StalledAge.Number(m),
		paused:         PausedFetches.State(m),
		breakers:       BreakerStates.State(m),
	}
	registration, err := m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s.observe(w, o)
		return nil
	}, w.pendingEvents, w.pendingSize, w.bufferedEvents, w.bufferedSize, w.parkedKeys, w.parkedSize, w.held, w.running, w.stuck,
		w.partitions, w.lag, w.unstable, w.rebalances, w.unstableAge, w.oldestAge, w.progressAge, w.paused, w.breakers,
		w.withheld, w.starvedAge, w.parkedUse, w.heldUse, w.metadataUse, w.uncarried)
	if err != nil {
		otel.Handle(err)
	}
	s.metrics.registration = registration
}

// observe reads the values of the bus. The lists are copied, because a snapshot
// takes the engine's locks and must not wait for them under s.mu.
func (s *Signals) observe(w *watched, o metric.Observer) {
	bus := metric.WithAttributeSet(attribute.NewSet(s.attributes()...))
	o.ObserveInt64(w.pendingEvents, s.pending.events.Load(), bus)
	o.ObserveInt64(w.pendingSize, s.pending.bytes.Load(), bus)
	s.mu.Lock()
	groups, breakers := slices.Clone(s.groups), maps.Clone(s.breakers)
	s.mu.Unlock()
	for _, g := range groups {
		snapshot := g.engine.Snapshot()
		g.observe(w, o, &snapshot)
	}
	for name, b := range breakers {
		o.ObserveInt64(w.breakers, int64(b.State()), s.with(BreakerName.String(name)))
	}
	s.brokers(func(broker int32, state resilience.State) bool {
		o.ObserveInt64(w.breakers, int64(state), s.with(BreakerName.String(PublishBreakerName(broker))))
		return true
	})
}

// with returns the attributes of one time series.
func (s *Signals) with(more ...attribute.KeyValue) metric.ObserveOption {
	return metric.WithAttributeSet(attribute.NewSet(s.attributes(more...)...))
}

// observe reads the values of one group from a snapshot of its engine.
func (g *GroupSignals) observe(w *watched, o metric.Observer, s *engine.Snapshot) {
	group := ConsumerGroup.String(g.name)
	all := g.with(group)
	o.ObserveInt64(w.bufferedEvents, s.Records, all)
	o.ObserveInt64(w.bufferedSize, s.Bytes, all)
	o.ObserveInt64(w.parkedSize, s.ParkedBytes, all)
	o.ObserveFloat64(w.parkedUse, s.ParkedUse, all)
	o.ObserveFloat64(w.heldUse, s.HeldUse, all)
	o.ObserveInt64(w.partitions, int64(len(s.Partitions)), all)
	o.ObserveInt64(w.rebalances, s.Member.Rebalances, all)
	for i := range s.Subscriptions {
		sub := &s.Subscriptions[i]
		one := g.with(group, Subscription.String(sub.Name))
		o.ObserveInt64(w.running, int64(sub.Running), one)
		o.ObserveInt64(w.stuck, int64(sub.Stuck), one)
		o.ObserveInt64(w.withheld, int64(sub.Concurrency-sub.Allowed), one)
		o.ObserveFloat64(w.starvedAge, sub.Starved.Seconds(), one)
	}
	fetched := make(map[transport.Partition]*transport.PartitionStatus, len(s.Member.Partitions))
	for i := range s.Member.Partitions {
		fetched[s.Member.Partitions[i].Partition] = &s.Member.Partitions[i]
	}
	now := time.Now()
	for i := range s.Partitions {
		p := &s.Partitions[i]
		one := g.with(group, Destination.String(p.Partition.Topic), partitionID(p.Partition.Partition))
		o.ObserveInt64(w.parkedKeys, p.ParkedKeys, one)
		o.ObserveInt64(w.held, p.HeldEvents, one)
		o.ObserveInt64(w.paused, oneIf(p.Paused), one)
		o.ObserveFloat64(w.metadataUse, p.MetadataUse, one)
		o.ObserveInt64(w.uncarried, int64(p.Uncarried), one)
		stalled, oldest := p.OldestAge, time.Duration(0)
		if !p.Oldest.IsZero() {
			oldest = max(now.Sub(p.Oldest), 0)
		}
		o.ObserveFloat64(w.progressAge, stalled.Seconds(), one)
		o.ObserveFloat64(w.oldestAge, oldest.Seconds(), one)
		f := fetched[p.Partition]
		if f == nil || f.LastStable < 0 {
			continue
		}
		o.ObserveInt64(w.lag, max(f.LastStable-p.Next, 0)+p.Records, one)
		o.ObserveInt64(w.unstable, max(f.HighWatermark-f.LastStable, 0), one)
		o.ObserveFloat64(w.unstableAge, g.unstable.age(f, now).Seconds(), one)
	}
	g.unstable.keep(fetched)
}

func oneIf(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// PublishBreakerName returns the name of the breaker that guards publishing to a
// broker.
func PublishBreakerName(broker int32) string { return "publish " + strconv.Itoa(int(broker)) }

// BreakerChanged counts a breaker's change of state.
func (s *Signals) BreakerChanged(name string, to resilience.State) {
	s.metrics.transitions.Add(context.Background(), 1, metric.WithAttributeSet(attribute.NewSet(
		s.attributes(BreakerName.String(name), BreakerState.String(to.String()))...)))
}
