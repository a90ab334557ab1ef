package engine

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// Errors with a verdict, for handlers of tests.
var (
	errPermanent = errors.New("permanent")
	errWait      = errors.New("wait")
	errDiscard   = errors.New("nobody misses it")
	errIgnored   = errors.New("says nothing of the dependency")
)

type retryAfter time.Duration

func (retryAfter) Error() string { return "later" }

// someFailed is the error of a batch, by index.
type someFailed map[int]error

func (someFailed) Error() string { return "some failed" }

func judge(err error) Verdict {
	v := Verdict{Reason: "handler", Breaker: resilience.Failure}
	var after retryAfter
	var some someFailed
	switch {
	case errors.As(err, &some):
		v.Each = func(i int) error { return some[i] }
	case errors.Is(err, errDiscard):
		v.Kind, v.Breaker = Discard, resilience.Ignored
	case errors.Is(err, errPermanent):
		v.Kind, v.Reason, v.Breaker = Dead, "permanent", resilience.Ignored
	case errors.Is(err, errWait):
		v.Kind, v.Breaker = Wait, resilience.Ignored
	case errors.As(err, &after):
		v.After = time.Duration(after)
	case errors.Is(err, errIgnored):
		v.Breaker = resilience.Ignored
	}
	return v
}

const group = "g"

// rig is a cluster in memory with one topic, t, and engines on it.
type rig struct {
	t        *testing.T
	cluster  *memory.Cluster
	producer transport.Producer
	ledger   *ledger
}

// inBubble runs a test in a bubble, with a fake clock.
func inBubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func newRig(t *testing.T, partitions int32) *rig {
	t.Helper()
	r := &rig{t: t, cluster: memory.New(), ledger: newLedger(t)}
	if err := r.cluster.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: "t", Partitions: partitions}); err != nil {
		t.Fatal(err)
	}
	r.producer, _ = r.cluster.NewProducer(transport.ProducerConfig{})
	t.Cleanup(func() {
		if err := r.cluster.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

type delivered func(transport.Position, error)

func (d delivered) Done(p transport.Position, err error) { d(p, err) }

// write appends a record, and returns it as it is in the log.
func (r *rig) write(record transport.Record) *transport.Record {
	r.t.Helper()
	record.Topic = "t"
	var at transport.Position
	if err := r.producer.Produce(r.t.Context(), &record, delivered(func(p transport.Position, err error) { at = p })); err != nil {
		r.t.Fatal(err)
	}
	record.Partition, record.Offset = at.Partition.Partition, at.Offset
	r.ledger.expect(&record)
	return &record
}

// to returns a record with a key for partition 0.
func to(key, value string) transport.Record {
	return transport.Record{Key: []byte(key), Value: []byte(value)}
}

func typed(typ string, r transport.Record) transport.Record {
	r.Headers = append(r.Headers, transport.Header{Key: "type", Value: []byte(typ)})
	return r
}

// member is an engine with its consumer.
type member struct {
	*Engine
	rig      *rig
	consumer transport.Consumer
}

// options of a member.
type options struct {
	subs       []*Subscription // routed to by the type header, the first for records without
	deadLetter func(ctx context.Context, f *Failure, done func(error))
	route      func(*transport.Record) Route
	observer   Observer
	bounds     Bounds
	flush      func(context.Context) error
	rebalance  time.Duration
	unhandled  func(topic, typ string)
}

// join starts an engine.
func (r *rig) join(o options) *member {
	r.t.Helper()
	if o.deadLetter == nil {
		o.deadLetter = func(_ context.Context, f *Failure, done func(error)) {
			r.ledger.bury(f.Record)
			done(nil)
		}
	}
	if o.route == nil {
		o.route = func(rec *transport.Record) Route {
			typ, _ := rec.Header("type")
			for _, s := range o.subs {
				if s.Name == string(typ) {
					return Route{Subscription: s}
				}
			}
			return Route{Subscription: o.subs[0]}
		}
	}
	e := New(Config{
		Group: group, Route: o.route, Judge: judge, DeadLetter: o.deadLetter,
		Observer: o.observer, Bounds: o.bounds, Flush: o.flush, Unhandled: o.unhandled,
	})
	types := make(map[string][]string)
	for _, s := range o.subs {
		e.Attach(s)
		types["t"] = append(types["t"], s.Name)
	}
	consumer, err := r.cluster.NewConsumer(transport.ConsumerConfig{
		Group: group, Topics: []transport.TopicStart{{Topic: "t"}}, Listener: e, RebalanceTimeout: o.rebalance, Types: types,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	e.Start(consumer)
	return &member{Engine: e, rig: r, consumer: consumer}
}

// leave drains within a minute, and fails the test unless the drain was clean.
func (m *member) leave() {
	m.rig.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := m.Drain(ctx); err != nil {
		m.rig.t.Errorf("drain: %v", err)
	}
	if n := m.Abandoned(); n != 0 {
		m.rig.t.Errorf("%d attempts abandoned", n)
	}
}

// handled returns a subscription whose handler records what it handles in the
// ledger.
func (r *rig) handled(name string, handle func(context.Context, *transport.Record, int) error) *Subscription {
	return &Subscription{Name: name, Concurrency: 8, Handle: func(ctx context.Context, a *Attempt) error {
		record := a.Records[0]
		r.ledger.start(record)
		var err error
		if handle != nil {
			err = handle(ctx, record, a.Number)
		}
		r.ledger.stop(record, err == nil)
		return err
	}}
}

// committed returns the group's commit of partition 0.
func (r *rig) committed() transport.Commit {
	return r.cluster.Committed(group)[transport.Partition{Topic: "t"}]
}

func keyN(n int) string { return fmt.Sprintf("key-%d", n) }
