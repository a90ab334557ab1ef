package check

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// handling is what an engine calls for each record. Each member has its own.
type handling func(ctx context.Context, r *transport.Record) error

// engine starts one member of the group, which gives every record of the topic to
// handle. An old member has no handler for the topic's type, and must leave its
// records to the others. stop ends it in an orderly way, or at once when ctx has
// ended.
type engine func(ctx context.Context, tr transport.Transport, handle handling, old bool) (stop func(context.Context) error, err error)

// trial is one run of a plan, without the plan's type.
type trial struct {
	t       *testing.T
	seed    uint64
	faults  []Fault
	keys    int
	perKey  int
	cluster *memory.Cluster
	group   string
	// topic and letters are full names.
	topic   string
	letters string

	// These four come from the plan, or from a test of the check itself.
	engine  engine
	publish func(ctx context.Context, key, n int) error
	number  func(*transport.Record) (key, n int, ok bool)
	effects func(key int) []int

	// A slot has one member at a time.
	history *history
	slots   []*member
	// members counts all members that were ever started.
	members int
	// deployments counts how often Deployment has replaced members.
	deployments int
	// chance decides how long handlers work; chances guards it.
	chance  *rand.Rand
	chances sync.Mutex
}

// environment is the environment of all trials.
const environment = "check"

// newTrial returns the trial of a plan. Functions replace everything that needs the
// plan's type.
func newTrial[T any](t *testing.T, plan *Plan[T]) *trial {
	// Each random source has the plan's seed and its own number, 1 to 4, so that one
	// more draw from one does not change the others.
	x := &trial{
		t: t, seed: plan.Seed, faults: plan.Faults, keys: plan.Keys, perKey: plan.PerKey,
		cluster: memory.New(), group: "check", topic: plan.Topic.In(environment), effects: plan.Effects,
		history: newHistory(), slots: make([]*member, plan.Members), chance: rand.New(rand.NewPCG(plan.Seed, 1)), //nolint:gosec // not for secrets
	}
	x.letters = x.topic + "." + x.group + naming.DeadSuffix
	config := eventbus.Config{
		Service: "check", Environment: environment, Source: "urn:check", AutoProvision: eventbus.ProvisionAlways, Logger: silent,
	}
	earlier, side := siblingsOf(plan.Topic)
	// No circuit breaker counts this error.
	x.cluster.FailProduces(side.In(environment), -1, fmt.Errorf("%w: injected", transport.ErrRejected))
	// The event's id carries its number, which copies and dead letters keep.
	x.number = numberOf
	x.engine = func(ctx context.Context, tr transport.Transport, handle handling, old bool) (func(context.Context) error, error) {
		bus, err := eventbus.New(tr, config)
		if err != nil {
			return nil, err
		}
		refusals := eventbus.NewPublisher(bus, side)
		// The receipt is dropped on purpose: the bus itself must notice the refusal.
		publish := func(ctx context.Context) { refusals.PublishAsync(ctx, sibling{}) }
		if err := bus.Use(around(handle, publish)); err != nil {
			return nil, err
		}
		options := append([]eventbus.SubscribeOption{
			eventbus.Group(x.group), eventbus.Timeout(2 * time.Second), eventbus.Breaker(resilience.BreakerConfig{Disabled: true}),
			eventbus.Retry(resilience.Retry{Attempts: 6, Initial: 100 * time.Millisecond, Max: time.Second}),
		}, plan.Options...)
		// The new version has the plan's handler besides that of the old version.
		subscriptions := []eventbus.Subscription{eventbus.On(earlier, func(context.Context, sibling) error { return nil }, options...)}
		if !old {
			subscriptions = append(subscriptions, eventbus.On(plan.Topic, plan.Handler, options...))
		}
		if err := bus.Add(subscriptions...); err != nil {
			return nil, err
		}
		return bus.Close, bus.Start(ctx)
	}
	bus, err := eventbus.New(&line{Transport: x.cluster}, config)
	if err != nil {
		t.Fatalf("check: %v", err)
	}
	t.Cleanup(func() { _ = bus.Close(context.Background()) })
	publisher := eventbus.NewPublisher(bus, plan.Topic)
	x.publish = func(ctx context.Context, key, n int) error {
		return publisher.PublishWith(ctx, plan.Event(key, n), eventbus.WithID(fmt.Sprintf("%d-%d", key, n)))
	}
	return x
}

// around puts the trial's handling directly around the handler, so that what it
// injects looks like the handler's own.
func around(handle handling, publish func(context.Context)) eventbus.Middleware {
	return func(next eventbus.Handler) eventbus.Handler {
		return func(ctx context.Context, d *eventbus.Delivery) error {
			// The trial's subscriptions handle one event at a time.
			e := d.Events[0]
			r := &transport.Record{Topic: e.Topic, Partition: e.Partition, Offset: e.Offset, Key: e.Key, Headers: []transport.Header{{Key: "ce_id", Value: []byte(e.ID)}}}
			ctx = context.WithValue(ctx, refused{}, publish)
			return handle(context.WithValue(ctx, inner{}, func(ctx context.Context) error { return next(ctx, d) }), r)
		}
	}
}

// inner is the context key of the function that runs the handler.
type inner struct{}

// refused is the context key of the function that publishes, without waiting, an event
// that the cluster refuses.
type refused struct{}

// sibling is a type of event that the trial itself declares.
type sibling struct{}

// siblingsOf declares two topics beside the plan's: a type on the same Kafka topic,
// which an older version of the service handles, and a topic to publish to.
func siblingsOf(topic eventbus.AnyTopic) (earlier, side *eventbus.Topic[sibling]) {
	d := topic.Declaration()
	c := eventbus.TopicConfig[sibling]{Domain: d.Domain, Name: d.Name, Version: d.Version, Unversioned: d.Version == "", Type: "check.Sibling"}
	if d.Scope == eventbus.Internal.String() {
		c.Scope = eventbus.Internal
	}
	earlier = eventbus.NewTopic(c)
	return earlier, eventbus.NewTopic(eventbus.TopicConfig[sibling]{Domain: "check", Name: "refused", Type: "check.Sibling"})
}

// numberOf returns which event a record is, from its id, and reports whether it is
// one of the trial's.
func numberOf(r *transport.Record) (key, n int, ok bool) {
	id, _ := r.Header("ce_id")
	_, err := fmt.Sscanf(string(id), "%d-%d", &key, &n)
	return key, n, err == nil
}

// watched returns the handling of one member, which injects faults and notes each
// attempt in the history.
func (t *trial) watched(member int) handling {
	return func(ctx context.Context, r *transport.Record) (err error) {
		key, n, ok := t.number(r)
		if !ok {
			return fmt.Errorf("the record at %d@%d is none of the trial's", r.Partition, r.Offset)
		}
		a, times := t.history.begin(member, r, key, n)
		ended := false
		defer func() {
			if !ended {
				// The attempt panicked or ended its goroutine.
				err = errInjected
			}
			t.history.end(a, err)
		}()
		// In a bubble, handlers that take no time would never run side by side.
		t.chances.Lock()
		work := between(t.chance, 0, 10*time.Millisecond)
		t.chances.Unlock()
		pause(work)
		run, _ := ctx.Value(inner{}).(func(context.Context) error)
		if run == nil {
			run = func(context.Context) error { return nil }
		}
		err = t.injected(key, n, times).run(ctx, n, run)
		ended = true
		return err
	}
}

// Bounds of a trial, in the bubble's time.
const (
	// spacing is the longest time between two events.
	spacing = 40 * time.Millisecond
	// patience bounds the wait for unfinished records once all faults are over.
	patience = 2 * time.Minute
)

// run runs the trial and returns the report.
func (t *trial) run() *Report {
	ctx := t.t.Context()
	// The old members of a deployment have to be there from the beginning.
	deploys := slices.ContainsFunc(t.faults, func(f Fault) bool { return f.name == Deployment().name })
	for slot := range t.slots {
		if err := t.enter(slot, deploys && slot > 0); err != nil {
			t.t.Fatalf("check: starting a member: %v", err)
		}
	}
	// About the time that publishing takes: the pauses are half of spacing on average.
	length := spacing / 2 * time.Duration(t.keys*t.perKey)
	occurrences := schedule(rand.New(rand.NewPCG(t.seed, 2)), t.faults, length) //nolint:gosec // not for secrets
	var all sync.WaitGroup
	all.Go(func() { t.publishAll(ctx) })
	all.Go(func() { t.doAll(occurrences) })
	all.Wait()
	// Members stop only after settle, so that stopping does not hide a stuck record.
	idle := t.settle()
	for _, m := range t.slots {
		if err := m.leave(); err != nil {
			t.history.note("member %d does not stop: %v", m.id, err)
		}
	}
	return t.judge(occurrences, idle)
}

// publishAll publishes the events of all keys in turn. An event that failed is
// published again at once, or later ones of its key would come before it; one whose
// outcome is unknown may then be there twice.
func (t *trial) publishAll(ctx context.Context) {
	rng := rand.New(rand.NewPCG(t.seed, 3)) //nolint:gosec // not for secrets
	for n := range t.perKey {
		for key := range t.keys {
			pause(between(rng, 0, spacing))
			for t.publish(ctx, key, n) != nil && ctx.Err() == nil {
				pause(100 * time.Millisecond)
			}
		}
	}
}

// doAll injects the faults at their times.
func (t *trial) doAll(occurrences []occurrence) {
	rng := rand.New(rand.NewPCG(t.seed, 4)) //nolint:gosec // not for secrets
	begun := time.Now()
	for _, d := range occurrences {
		pause(max(d.at-time.Since(begun), 0))
		if err := d.fault.do(t, rng); err != nil {
			t.t.Errorf("check: %s: %v", d, err)
		}
	}
}

// settle waits until every record is finished, at most for patience, and reports
// whether all are.
func (t *trial) settle() bool {
	for begun := time.Now(); time.Since(begun) < patience; pause(200 * time.Millisecond) {
		if t.complete() {
			return true
		}
	}
	return false
}

// complete reports whether every record is finished.
func (t *trial) complete() bool {
	letters := t.deadLetters()
	t.history.mu.Lock()
	defer t.history.mu.Unlock()
	for _, r := range t.cluster.Records(t.topic) {
		at := place{r.Partition, r.Offset}
		s := t.history.records[at]
		if letters[at] > 0 {
			continue
		}
		if s == nil || s.finished().IsZero() {
			return false
		}
	}
	return true
}
