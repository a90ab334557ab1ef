package eventbus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/eventbus-go/eventbus/internal/callback"
	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/internal/grouptypes"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

// group is one consumer group of a bus: its topics, and the engine that runs it.
type group struct {
	bus  *Bus
	name string
	// engine is nil until the group is started.
	engine atomic.Pointer[engine.Engine]
	// subs are in the order of adding, which addTo's undo relies on.
	subs []*engine.Subscription
	// declared are the subscriptions that subs were made from, for a replay.
	declared []*subscription
	// chains build the handlers of subs within the bus's middleware, in the same order. They run
	// at the start.
	chains []func(around []Middleware) error
	// topics is by Kafka name. routes has the same topics, also by the names of their retry
	// topics.
	topics map[string]*groupTopic
	routes map[string]*groupTopic

	signals *telemetry.GroupSignals
	hooks   callback.Group // nil without any
	// late has the receipts of events published asynchronously after their handlers
	// returned.
	late lateReceipts
	// replay is set if the group reads a window of the log and joins no Kafka group.
	replay bool
}

var errNoSubscription = errors.New("the zero Subscription: make one with On, OnBatch, OnDelete or OnAny")

// add registers one subscription. undo removes it, provided nothing was added after it. The
// caller holds mu.
func (b *Bus) add(s *subscription) (undo func(), err error) {
	if s == nil {
		return nil, &Error{Op: "subscribe", Err: errNoSubscription}
	}
	if err := b.complete(s); err != nil {
		return nil, &Error{Op: "subscribe", Err: err}
	}
	var leave func()
	topic, err := b.acceptable(s.decl)
	if err == nil {
		leave, err = b.addTo(b.groups, s, topic)
	}
	if err != nil {
		return nil, &Error{Op: "subscribe", Topic: topic, Err: err}
	}
	forget := b.topics.put(topic, s.decl)
	return func() { forget(); leave() }, nil
}

// settingsOf returns a subscription's settings, with the bus's defaults.
func (b *Bus) settingsOf(s *subscription) subscribeSettings {
	settings := newSubscribeSettings(append(append([]SubscribeOption(nil), b.config.Handling...), s.options...)...)
	if settings.group == "" {
		settings.group = b.config.Service + "-" + b.config.env
	}
	return settings
}

// addTo adds a subscription to its group. If it returns an error nothing has changed, so Add
// can be called again. undo reverts all changes.
func (b *Bus) addTo(groups map[string]*group, s *subscription, topic string) (undo func(), err error) {
	settings := b.settingsOf(s)
	if len(settings.faults) > 0 {
		return nil, errors.Join(settings.faults...)
	}
	name := settings.group
	g := groups[name]
	if g == nil {
		g = &group{bus: b, name: name, topics: make(map[string]*groupTopic)}
	}
	t := g.topics[topic]
	if t == nil {
		t = &groupTopic{name: topic, types: make(map[string]*engine.Subscription)}
	}
	t.form = s.decl.Form
	if t.taken(s) != nil {
		return nil, fmt.Errorf("group %q handles %s already: give one of the two another Group(name)", name, s.name())
	}
	// Work on a copy: a refused setting must not change the others.
	before, shared := t.shared, t.shared
	if err := errors.Join(
		shared.order.set("Ordered", settings.order, s.name()),
		shared.start.set("StartAt", settings.start, s.name()),
		shared.unknown.set("the policy for unknown types", settings.unknown, s.name()),
		shared.beyond.set("WhenOutOfRange", settings.beyond, s.name()),
		shared.dead.set("DeadLetterTopic", settings.dead, s.name()),
		shared.retry.set("RetryTopic", settings.retryTopic, s.name()),
	); err != nil {
		return nil, err
	}
	letters, err := b.checkLetters(topic, name, &shared)
	if err != nil {
		return nil, err
	}
	sub, breaker, err := b.engineSubscription(g, topic, s, settings)
	if err != nil {
		return nil, err
	}
	former := t.letters
	t.shared, t.letters = shared, letterTopics{Letters: letters, chosen: !letters.Derived(topic, name)}
	t.put(s, sub)
	g.topics[topic], groups[name] = t, g
	g.subs, g.declared = append(g.subs, sub), append(g.declared, s)
	// Undo runs in reverse order of adding, so the last elements are this subscription's.
	return func() {
		t.shared, t.letters = before, former
		t.put(s, nil)
		if len(t.types) == 0 && t.tombstones() == nil {
			delete(g.topics, topic)
		}
		g.subs, g.chains, g.declared = g.subs[:len(g.subs)-1], g.chains[:len(g.chains)-1], g.declared[:len(g.declared)-1]
		if len(g.subs) == 0 {
			delete(groups, name)
		}
		breaker()
	}, nil
}

// engineSubscription returns the subscription as the engine knows it, without type parameter,
// topic and codec. undo reverts its part in a shared breaker.
func (b *Bus) engineSubscription(g *group, topic string, s *subscription, settings subscribeSettings) (sub *engine.Subscription, undo func(), err error) {
	sub = &engine.Subscription{
		Name:        s.name(),
		Concurrency: settings.concurrency,
		Retry:       settings.retry,
		Timeout:     settings.timeout,
	}
	name, undo := settings.breaker.name, func() {}
	if name == "" {
		name = g.name + " " + s.name()
		sub.Breaker = b.newBreaker(name, settings.breaker.config, settings.breaker.config.OnChange)
	} else if undo, err = settings.breaker.depend(b.breakers, settings.breaker, s.name()); err != nil {
		return nil, nil, err
	}
	if s.kind == batched {
		sub.BatchSize = settings.batchSize
		if sub.BatchSize == 0 {
			sub.BatchSize = defaultBatchSize
		}
		sub.Gatherer = settings.gatherer
	}
	if settings.limit != nil {
		sub.Limit = settings.limit()
	}
	h := &handling{kind: s.kind, policy: settings.policy, derive: settings.derive}
	// Use may come after Add, so build the chain at the start.
	g.chains = append(g.chains, func(around []Middleware) (err error) {
		if h.handler, err = chain(s.handle, settings.middleware...); err == nil {
			h.handler, err = chain(h.handler, around...)
		}
		if err != nil {
			return fmt.Errorf("subscription %s: %w", s.name(), err)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, hook := range settings.hooks {
			g.hooks = hook.Join(g.hooks, topic, callback.Owner{Name: g.name, Log: b.config.Logger, Missed: func(n int) { g.signals.MissedHooks(n) }})
		}
		// All subscriptions are added by now, so the dependency's configuration is complete.
		if d := b.breakers[settings.breaker.name]; d != nil {
			if d.breaker == nil {
				d.breaker = b.newBreaker(name, d.config, d.onChange...)
			}
			sub.Breaker = d.breaker
		}
		// In the metrics, a replay's own breaker would replace the group's.
		if !g.replay || settings.breaker.name != "" {
			b.signals.Breaker(name, sub.Breaker)
		}
		return nil
	})
	sub.Handle = func(ctx context.Context, a *engine.Attempt) error { return b.handle(ctx, g, h, a) }
	return sub, undo, nil
}

// newBreaker returns a breaker that reports its changes, also to the user's callbacks.
func (b *Bus) newBreaker(name string, config resilience.BreakerConfig, users ...func(from, to resilience.State)) *resilience.Breaker {
	config.OnChange = func(from, to resilience.State) { b.breakerChanged(name, from, to, users...) }
	return resilience.NewBreaker(name, config)
}

// prepareGroups returns the groups to start, or what is wrong with the topics.
func (b *Bus) prepareGroups() ([]*group, error) {
	b.mu.Lock()
	b.starting = true // anything added from here on would not start
	groups, around := slices.Collect(maps.Values(b.groups)), b.middleware
	b.mu.Unlock()
	var faults []error
	for _, g := range groups {
		faults = append(faults, g.prepare(around))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return groups, errors.Join(append(faults, b.topics.err())...)
}

// prepare builds the routes and applies the shared settings, once all subscriptions have been
// added. The caller does not hold mu, since a middleware may make a publisher.
func (g *group) prepare(around []Middleware) error {
	var faults []error
	for _, makeChain := range g.chains {
		faults = append(faults, makeChain(around))
	}
	g.bus.mu.Lock()
	defer g.bus.mu.Unlock()
	g.routes = make(map[string]*groupTopic, 2*len(g.topics))
	for _, t := range g.topics {
		g.routes[t.name], g.routes[t.letters.Retry] = t, t
		if t.form != nil && g.bus.topics.typesOf(t.name) > 1 {
			several := *t.form // a record that names no type may have any of them
			several.OnlyType = ""
			t.form = &several
		}
		for _, sub := range t.all {
			sub.Order = t.shared.order.value
		}
	}
	return errors.Join(faults...)
}

// start joins the group.
func (g *group) start() error {
	c := &g.bus.config
	config := transport.ConsumerConfig{
		Group: g.name, InstanceID: c.InstanceID,
		SessionTimeout: c.SessionTimeout, HeartbeatInterval: c.HeartbeatInterval, RebalanceTimeout: c.RebalanceTimeout,
		FetchBytes: c.FetchBytes, Logger: c.Logger, Types: make(map[string][]string),
	}
	for _, t := range g.topics {
		for typ, sub := range t.all {
			if sub != t.tombstone {
				config.Types[t.name] = append(config.Types[t.name], typ)
			}
		}
		config.Topics = append(config.Topics,
			transport.TopicStart{Topic: t.name, Start: t.shared.start.value, OutOfRange: t.shared.beyond.value},
			// The retry topic has its source's partitions, and each goes to the same member.
			transport.TopicStart{Topic: t.letters.Retry, CompanionOf: t.name})
	}
	g.signals = g.bus.signals.Group(g.name, config.Topics)
	g.setForms()
	settings := engine.Config{
		Group:          g.name,
		Route:          g.route,
		Judge:          judgeAttempt,
		DeadLetter:     g.deadLetter,
		Flush:          g.late.wait,
		Observer:       g.signals,
		Bounds:         engine.Bounds(c.Bounds),
		CommitInterval: c.CommitInterval,
		HandlerGrace:   c.HandlerGrace,
		Unhandled:      g.warnUnhandled,
		Logger:         c.Logger.With("group", g.name),
	}
	if g.hooks != nil {
		settings.Moved = g.hooks.Moved
	}
	e := engine.New(settings)
	// The engine is the consumer's listener, so it is created first and started once there
	// is a consumer.
	config.Listener = e
	for _, sub := range g.subs {
		e.Attach(sub)
	}
	consumer, err := g.bus.transport.NewConsumer(config)
	if err != nil {
		return fmt.Errorf("group %q: %w", g.name, err)
	}
	e.Start(&telemetry.ObservedConsumer{Consumer: consumer, Of: g.signals})
	g.signals.Watch(e)
	g.engine.Store(e)
	return nil
}

// setForms tells the group's signals how to read the records that they report on.
func (g *group) setForms() {
	for name, t := range g.routes {
		if h := g.signals.Topics[name]; h != nil {
			h.Form = t.form
			if t.form != nil && name == t.letters.Retry {
				redelivered := *t.form
				redelivered.Redelivered = true
				h.Form = &redelivered
			}
		}
	}
}

func (g *group) drain(ctx context.Context) error {
	e := g.engine.Load()
	if e == nil {
		return nil
	}
	err := e.Drain(ctx)
	if g.hooks != nil {
		g.hooks.Close(ctx)
	}
	if err != nil {
		return fmt.Errorf("group %q: %w", g.name, err)
	}
	return nil
}

// route returns the subscription for a record by its topic and CloudEvents type. A record
// without a subscription still has its place in the topic's order.
func (g *group) route(r *transport.Record) engine.Route {
	t := g.routes[r.Topic]
	to := g.routeIn(t, r)
	to.Order = t.shared.order.value
	return to
}

func (g *group) routeIn(t *groupTopic, r *transport.Record) engine.Route {
	if r.Topic == t.letters.Retry && letter.Elsewhere(r, g.name) { // the other group shares the topic
		return engine.Route{End: engine.Skip, Reason: "redelivered to another group"}
	}
	if r.Excess != nil {
		// The missing part may be what matters.
		return engine.Route{End: engine.DeadEnd, Reason: letter.ReasonMalformed, Err: r.Excess}
	}
	if r.Value == nil {
		sub := t.tombstones()
		if sub == nil {
			return engine.Route{End: engine.Skip, Reason: "tombstone"}
		}
		if r.Key == nil {
			return engine.Route{End: engine.DeadEnd, Reason: letter.ReasonMalformed, Err: errors.New("a record without key and value says nothing")}
		}
		return engine.Route{Subscription: sub}
	}
	typ, ok := t.form.Type(r)
	if !ok {
		var e wire.Event
		err := letter.Decode(t.form, r, &e)
		if err == nil {
			err = errors.New("the record has no CloudEvents type")
		}
		return engine.Route{End: engine.DeadEnd, Reason: letter.ReasonMalformed, Err: err}
	}
	if sub := t.of(typ); sub != nil {
		return engine.Route{Subscription: sub}
	}
	return g.routeUnknown(t, typ)
}

// routeUnknown returns the route of events whose type this member does not handle. Whether
// another member of the group does is not known here.
func (g *group) routeUnknown(t *groupTopic, typ string) engine.Route {
	to := engine.Route{Topic: t.name, Type: typ, Reason: letter.ReasonUnknownType}
	if short := telemetry.ClippedName(typ); short != typ {
		// No topic is declared with such a long type, and its memory is not kept. If a member
		// handles it, it is one that handles any type.
		typ, to.Type = short, grouptypes.Any
		g.warnUnhandled(t.name, typ)
	}
	switch t.shared.unknown.value {
	case DeadLetterUnknown:
		to.End, to.Err = engine.DeadEnd, fmt.Errorf("group %q has no handler for type %q", g.name, typ)
	case FailUnknown:
		to.End, to.Err = engine.Hold, fmt.Errorf("group %q has no handler for type %q", g.name, typ)
		g.warnUnhandled(t.name, typ)
	default:
		to.End, to.Reason = engine.Skip, telemetry.UnknownTypePrefix+typ
	}
	return to
}

// warnUnhandled logs once per type that nobody in the group handles it.
func (g *group) warnUnhandled(topic, typ string) {
	// For types treated as any, routeUnknown has logged the warning.
	if typ != grouptypes.Any && g.routes[topic].warned.First(typ) {
		g.bus.config.Logger.Warn("events of a type that no subscription of the group handles", "topic", topic, "group", g.name, "type", typ)
	}
}
