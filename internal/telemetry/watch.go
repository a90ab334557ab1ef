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

// watched has the instruments that are read at each collection. They cost nothing
// between collections, and reading them sends no request to a broker.
type watched struct {
	all []metric.Observable

	pendingEvents, pendingSize          metric.Int64Observable
	bufferedEvents, bufferedSize        metric.Int64Observable
	parkedKeys, parkedSize, held        metric.Int64Observable
	running, stuck, withheld            metric.Int64Observable
	partitions, lag, unstable           metric.Int64Observable
	rebalances, uncarried               metric.Int64Observable
	paused, breakers                    metric.Int64Observable
	unstableAge, oldestAge, progressAge metric.Float64Observable
	starvedAge                          metric.Float64Observable
	parkedUse, heldUse, metadataUse     metric.Float64Observable
}

// count adds an instrument of integers and returns it.
//
// The methods of watched and series are called two dozen times. Inlined, they would
// make a program 20 kB larger.
//
//go:noinline
func (w *watched) count(i metric.Int64Observable) metric.Int64Observable {
	w.all = append(w.all, i)
	return i
}

// number adds an instrument of floating-point numbers and returns it.
//
//go:noinline
func (w *watched) number(i metric.Float64Observable) metric.Float64Observable {
	w.all = append(w.all, i)
	return i
}

// level makes a metric an instrument by Metric.Level, adds it and returns it.
//
//go:noinline
func (w *watched) level(m metric.Meter, of Metric) metric.Int64Observable {
	return w.count(of.Level(m))
}

// fraction makes a metric an instrument by Metric.Number, adds it and returns it.
//
//go:noinline
func (w *watched) fraction(m metric.Meter, of Metric) metric.Float64Observable {
	return w.number(of.Number(m))
}

// watch registers the watched instruments with one callback. A collection then
// reads one snapshot of each engine, so that its values fit together.
func (s *Signals) watch() {
	m, w := s.metrics.meter, new(watched)
	state := func(of Metric) metric.Int64Observable { return w.count(of.State(m)) }
	w.pendingEvents, w.pendingSize = w.level(m, PendingEvents), w.level(m, PendingSize)
	w.bufferedEvents, w.bufferedSize = w.level(m, BufferedEvents), w.level(m, BufferedSize)
	w.parkedKeys, w.parkedSize, w.held = w.level(m, ParkedKeys), w.level(m, ParkedSize), w.level(m, HeldEvents)
	w.running, w.stuck, w.withheld = w.level(m, RunningHandlers), w.level(m, StuckHandlers), w.level(m, WithheldHandlers)
	w.partitions, w.lag, w.unstable = w.level(m, AssignedPartitions), w.level(m, Lag), w.level(m, Unstable)
	w.rebalances, w.uncarried = w.count(Rebalances.Total(m)), w.level(m, Uncarried)
	w.paused, w.breakers = state(PausedFetches), state(BreakerStates)
	w.unstableAge, w.oldestAge, w.progressAge = w.fraction(m, UnstableAge), w.fraction(m, OldestAge), w.fraction(m, StalledAge)
	w.starvedAge = w.fraction(m, StarvedAge)
	w.parkedUse, w.heldUse, w.metadataUse = w.fraction(m, ParkedUse), w.fraction(m, HeldUse), w.fraction(m, MetadataUse)
	registration, err := m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s.observe(w, o)
		return nil
	}, w.all...)
	if err != nil {
		otel.Handle(err)
	}
	s.metrics.registration = registration
}

// series writes values with one set of attributes.
type series struct {
	o  metric.Observer
	of []metric.ObserveOption
}

// series returns a series with the bus's attributes and more.
func (s *Signals) series(o metric.Observer, more ...attribute.KeyValue) series {
	return series{o, []metric.ObserveOption{metric.WithAttributeSet(attribute.NewSet(s.attributes(more...)...))}}
}

// count writes an integer.
//
//go:noinline
func (s series) count(i metric.Int64Observable, value int64) { s.o.ObserveInt64(i, value, s.of...) }

// number writes a floating-point number.
//
//go:noinline
func (s series) number(i metric.Float64Observable, value float64) {
	s.o.ObserveFloat64(i, value, s.of...)
}

// observe writes the values of the bus. It copies the lists, because a snapshot
// takes the engine's locks, which must not be waited for under s.mu.
func (s *Signals) observe(w *watched, o metric.Observer) {
	bus := s.series(o)
	bus.count(w.pendingEvents, s.pending.events.Load())
	bus.count(w.pendingSize, s.pending.bytes.Load())
	s.mu.Lock()
	groups, breakers := slices.Clone(s.groups), maps.Clone(s.breakers)
	s.mu.Unlock()
	for _, g := range groups {
		snapshot := g.engine.Snapshot()
		g.observe(w, o, &snapshot)
	}
	for name, b := range breakers {
		s.series(o, BreakerName.String(name)).count(w.breakers, int64(b.State()))
	}
	s.brokers(func(broker int32, state resilience.State) bool {
		s.series(o, BreakerName.String(PublishBreakerName(broker))).count(w.breakers, int64(state))
		return true
	})
}

// observe writes the values of one group, from a snapshot of its engine.
func (g *GroupSignals) observe(w *watched, o metric.Observer, s *engine.Snapshot) {
	group := ConsumerGroup.String(g.name)
	all := g.series(o, group)
	all.count(w.bufferedEvents, s.Records)
	all.count(w.bufferedSize, s.Bytes)
	all.count(w.parkedSize, s.ParkedBytes)
	all.number(w.parkedUse, s.ParkedUse)
	all.number(w.heldUse, s.HeldUse)
	all.count(w.partitions, int64(len(s.Partitions)))
	all.count(w.rebalances, s.Member.Rebalances)
	for i := range s.Subscriptions {
		sub := &s.Subscriptions[i]
		one := g.series(o, group, Subscription.String(sub.Name))
		one.count(w.running, int64(sub.Running))
		one.count(w.stuck, int64(sub.Stuck))
		one.count(w.withheld, int64(sub.Concurrency-sub.Allowed))
		one.number(w.starvedAge, sub.Starved.Seconds())
	}
	fetched := make(map[transport.Partition]*transport.PartitionStatus, len(s.Member.Partitions))
	for i := range s.Member.Partitions {
		fetched[s.Member.Partitions[i].Partition] = &s.Member.Partitions[i]
	}
	now := time.Now()
	for i := range s.Partitions {
		p := &s.Partitions[i]
		one := g.series(o, group, Destination.String(p.Partition.Topic), partitionID(p.Partition.Partition))
		one.count(w.parkedKeys, p.ParkedKeys)
		one.count(w.held, p.HeldEvents)
		one.count(w.paused, oneIf(p.Paused))
		one.number(w.metadataUse, p.MetadataUse)
		one.count(w.uncarried, int64(p.Uncarried))
		stalled, oldest := p.OldestAge, time.Duration(0)
		if !p.Oldest.IsZero() {
			oldest = max(now.Sub(p.Oldest), 0)
		}
		one.number(w.progressAge, stalled.Seconds())
		one.number(w.oldestAge, oldest.Seconds())
		f := fetched[p.Partition]
		if f == nil || f.LastStable < 0 {
			continue
		}
		one.count(w.lag, max(f.LastStable-p.Next, 0)+p.Records)
		one.count(w.unstable, max(f.HighWatermark-f.LastStable, 0))
		one.number(w.unstableAge, g.unstable.age(f, now).Seconds())
	}
	g.unstable.keep(fetched)
}

// oneIf returns 1 for true and 0 for false, since metrics have no booleans.
func oneIf(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// PublishBreakerName returns the name of the breaker that guards publishing to a
// broker.
func PublishBreakerName(broker int32) string { return "publish " + strconv.Itoa(int(broker)) }

// BreakerChanged counts a change of a breaker's state to another one.
func (s *Signals) BreakerChanged(name string, to resilience.State) {
	s.metrics.transitions.Add(context.Background(), 1, metric.WithAttributeSet(attribute.NewSet(
		s.attributes(BreakerName.String(name), BreakerState.String(to.String()))...)))
}
