package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/inbox"
	"github.com/eventbus-go/eventbus/transport/memory"
)

var errLater = errors.New("the attempt fails after it has published")

// charge is the event that handlers of orders publish.
type charge struct {
	ID   string `json:"id" eventbus:"key"`
	What string `json:"what"`
}

func charges() *eventbus.Topic[charge] {
	return eventbus.NewTopic(eventbus.TopicConfig[charge]{Domain: "billing", Name: "charge", Plural: true, Partitions: 1})
}

// chain publishes orders whose handler publishes to another topic, whose handler is
// behind an inbox, and returns what the latter handled. attempt is called once for
// each.
func chain(t *testing.T, attempt func(ctx context.Context, n int, p *eventbus.Publisher[charge]) error, options ...eventbus.SubscribeOption) string {
	var s story
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, from, to := newBus(t, cluster, config()), orders(t), charges()
		p, n := eventbus.NewPublisher(bus, to), 0
		must(t, bus.Add(
			eventbus.On(from, func(ctx context.Context, _ order) error {
				n++
				return attempt(ctx, n, p)
			}, options...),
			eventbus.On(to, func(_ context.Context, c charge) error {
				s.add("%s:%s", c.ID, c.What)
				return nil
			}, eventbus.Use(eventbus.Idempotent(inbox.Memory(0))))))
		start(t, bus)
		must(t, eventbus.NewPublisher(bus, from).Publish(t.Context(), order{ID: "a"}))
		pass(time.Hour)
		closeBus(t, bus)
	})
	slices.Sort(s.seen)
	return s.String()
}

// TestDerivedIDs: if a handler fails after it has published and is retried, a
// downstream inbox passes each of its events once; a retry that decides differently
// loses none.
func TestDerivedIDs(t *testing.T) {
	publish := func(fail int, what func(n int) []charge) func(context.Context, int, *eventbus.Publisher[charge]) error {
		return func(ctx context.Context, n int, p *eventbus.Publisher[charge]) error {
			for i, c := range what(n) {
				if n == 1 && i == fail {
					return errLater
				}
				if err := p.Publish(ctx, c); err != nil {
					return err
				}
			}
			if n == 1 {
				return errLater
			}
			return nil
		}
	}
	for _, c := range []struct {
		name string
		fail int // before which event the first attempt fails
		what func(n int) []charge
		want string
	}{
		{"the second of two", 1, func(int) []charge { return []charge{{"k", "x"}, {"k", "y"}} }, "k:x k:y"},
		{"after both", 9, func(int) []charge { return []charge{{"k", "x"}, {"k", "y"}} }, "k:x k:y"},
		{"equal ones are several", 9, func(int) []charge { return []charge{{"k", "x"}, {"k", "x"}} }, "k:x k:x"},
		{"in another order", 9, func(n int) []charge {
			if n == 1 {
				return []charge{{"k", "x"}, {"l", "x"}}
			}
			return []charge{{"l", "x"}, {"k", "x"}}
		}, "k:x l:x"},
		{"otherwise", 9, func(n int) []charge { return []charge{{"k", fmt.Sprint(n)}} }, "k:1 k:2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := chain(t, publish(c.fail, c.what), eventbus.DerivedIDs()); got != c.want {
				t.Errorf("handled %s, want %s", got, c.want)
			}
		})
	}
	without := publish(1, func(int) []charge { return []charge{{"k", "x"}, {"k", "y"}} })
	if got := chain(t, without); got != "k:x k:x k:y" {
		t.Errorf("without the option handled %s", got)
	}
}

// TestDerivedIDsOfEveryPublish: however a handler publishes an event, the next attempt
// gives it the same id; other options give it another.
func TestDerivedIDsOfEveryPublish(t *testing.T) {
	var attempts [3][]string
	n, to := 0, charges()
	ids := func(bus *eventbus.Bus, ctx context.Context) error {
		p := eventbus.NewPublisher(bus, to)
		var seen []string
		for _, options := range [][]eventbus.PublishOption{
			nil, {eventbus.WithSubject("s")}, {eventbus.WithExtension("a", "b")}, {eventbus.WithExtension("a", "c")}, {eventbus.WithHeader("a", "b")}, {eventbus.WithKey("")}, {eventbus.WithStep("one")}, {eventbus.WithStep("two")},
		} {
			e, err := p.Envelope(ctx, charge{"k", "x"}, options...)
			if err != nil {
				return err
			}
			seen = append(seen, e.ID)
		}
		e, err := p.DeleteEnvelope(ctx, "k")
		if err != nil {
			return err
		}
		own, err := p.Envelope(ctx, charge{"k", "x"}, eventbus.WithID("own"))
		if err != nil || own.ID != "own" {
			return fmt.Errorf("the id that was given is %v, %v", own, err)
		}
		attempts[n], n = append(seen, e.ID), n+1
		_, err = p.Envelope(ctx, charge{"k", "other"}, eventbus.WithStep("one"))
		if err == nil || !strings.Contains(err.Error(), `the step "one" was published before`) {
			return fmt.Errorf("a step twice: %v", err)
		}
		_, err = p.Envelope(ctx, charge{"k", "x"}, eventbus.WithStep("three"), eventbus.WithID("three"))
		if err == nil || !strings.Contains(err.Error(), "both make the id") {
			return fmt.Errorf("a step and an id: %v", err)
		}
		return nil
	}
	bus := newBus(t, memory.New(), config())
	defer closeBus(t, bus)
	for i, options := range [][]eventbus.SubscribeOption{{eventbus.DerivedIDs()}, {eventbus.DerivedIDs()}, {eventbus.DerivedIDs(), eventbus.Group("other")}} {
		s := eventbus.On(orders(t), func(ctx context.Context, _ order) error { return ids(bus, ctx) }, options...)
		if err := s.Handle(t.Context(), &eventbus.Envelope{ID: "e", Source: "urn:s", Data: []byte("{}")}); err != nil {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	if !slices.Equal(attempts[0], attempts[1]) {
		t.Errorf("two attempts made the ids\n%v\n%v", attempts[0], attempts[1])
	}
	all := append(slices.Clone(attempts[0]), attempts[2]...)
	slices.Sort(all)
	if len(slices.Compact(all)) != len(attempts[0])+len(attempts[2]) {
		t.Errorf("different events share ids: %v %v", attempts[0], attempts[2])
	}
	for _, id := range attempts[0] {
		if id[14] != '8' {
			t.Errorf("%s is not a UUID of version 8", id)
		}
	}
}

// TestDerivedIDsLoseNothing: whatever two attempts publish, every event has as many ids
// as the attempt that published it most often.
func TestDerivedIDsLoseNothing(t *testing.T) {
	bus := newBus(t, memory.New(), config())
	defer closeBus(t, bus)
	p, random := eventbus.NewPublisher(bus, charges()), rand.New(rand.NewPCG(1, 2))
	for range 200 {
		ids, most := map[charge]map[string]bool{}, map[charge]int{}
		for range 3 {
			made := map[charge]int{}
			s := eventbus.On(orders(t), func(ctx context.Context, _ order) error {
				for range random.IntN(6) {
					c := charge{string(rune('a' + random.IntN(2))), string(rune('a' + random.IntN(2)))}
					e, err := p.Envelope(ctx, c)
					if err != nil {
						return err
					}
					if ids[c] == nil {
						ids[c] = map[string]bool{}
					}
					ids[c][e.ID] = true
					made[c]++
				}
				return nil
			}, eventbus.DerivedIDs())
			must(t, s.Handle(t.Context(), &eventbus.Envelope{ID: "e", Source: "urn:s", Data: []byte("{}")}))
			for c, n := range made {
				most[c] = max(most[c], n)
			}
		}
		taken := map[string]charge{}
		for c, n := range most {
			if len(ids[c]) != n {
				t.Fatalf("%v was published up to %d times in an attempt, and has %d ids", c, n, len(ids[c]))
			}
			for id := range ids[c] {
				if other, twice := taken[id]; twice {
					t.Fatalf("%v and %v share an id", c, other)
				}
				taken[id] = c
			}
		}
	}
}

// TestDerivedIDsInBatches: ids derive from the event that the handler names, even after
// the batch was split into single events; steps depend on that.
func TestDerivedIDsInBatches(t *testing.T) {
	var s story
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, from, to := newBus(t, cluster, config()), orders(t), charges()
		p, fails := eventbus.NewPublisher(bus, to), true
		must(t, bus.Add(
			eventbus.OnBatch(from, func(ctx context.Context, batch []order) error {
				d, _ := eventbus.DeliveryFrom(ctx)
				if len(d.Events) != len(batch) {
					t.Errorf("%d events, and %d envelopes", len(batch), len(d.Events))
				}
				for i, o := range batch {
					if err := p.Publish(eventbus.CausedBy(ctx, d.Events[i]), charge{ID: o.ID}); err != nil {
						return err
					}
				}
				if err := p.PublishWith(ctx, charge{ID: "x"}, eventbus.WithStep("x")); err == nil || !strings.Contains(err.Error(), "CausedBy") {
					t.Errorf("a step of no event: %v", err)
				}
				if fails {
					fails = false
					return errLater
				}
				return nil
			}, eventbus.DerivedIDs()),
			eventbus.On(to, func(ctx context.Context, c charge) error {
				e, _ := eventbus.EnvelopeFrom(ctx)
				s.add("%s<%s", c.ID, e.CausationID)
				return nil
			}, eventbus.Use(eventbus.Idempotent(inbox.Memory(0))))))
		publisher := eventbus.NewPublisher(bus, from)
		other := newBus(t, cluster, config())
		broken := eventbus.NewPublisher(other, eventbus.NewTopic(eventbus.TopicConfig[[]byte]{
			Domain: "sales", Name: "order", Plural: true, Partitions: 3, Type: "order", Codec: eventbus.Bytes(), Unkeyed: true,
		}))
		for _, id := range []string{"a", "b"} {
			must(t, publisher.PublishWith(t.Context(), order{ID: id}, eventbus.WithID("of-"+id), eventbus.WithKey("k")))
			must(t, broken.PublishWith(t.Context(), []byte("broken"), eventbus.WithKey("k"))) // decoded by nobody
		}
		start(t, bus)
		pass(time.Hour)
		closeBus(t, bus)
		closeBus(t, other)
	})
	slices.Sort(s.seen)
	if got := s.String(); got != "a<of-a b<of-b" {
		t.Error(got)
	}
}

// TestReplayMakesNewIDs: events that a replay publishes have new ids, since they are
// meant to be handled again.
func TestReplayMakesNewIDs(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, from, to := newBus(t, cluster, config()), orders(t), charges()
		p := eventbus.NewPublisher(bus, to)
		var ids []string
		s := eventbus.On(from, func(ctx context.Context, o order) error {
			for _, step := range [][]eventbus.PublishOption{nil, {eventbus.WithStep("s")}} {
				e, err := p.Envelope(ctx, charge{ID: o.ID}, step...)
				if err != nil {
					return err
				}
				ids = append(ids, e.ID)
			}
			return nil
		}, eventbus.DerivedIDs())
		must(t, eventbus.NewPublisher(bus, from).Publish(t.Context(), order{ID: "a"}))
		for range 2 {
			_, err := bus.Operator().Replay(t.Context(), eventbus.ReplayConfig{}, s)
			must(t, err)
		}
		slices.Sort(ids)
		if len(slices.Compact(ids)) != 4 {
			t.Errorf("ids %v", ids)
		}
		closeBus(t, bus)
	})
}
