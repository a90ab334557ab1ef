package eventbus_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/inbox"
	"github.com/eventbus-go/eventbus/transport/memory"
)

func TestIdempotentHandlesOnceBySourceAndID(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		var s story
		fail := true
		must(t, eventbus.Subscribe(bus, topic, func(_ context.Context, o order) error {
			s.add("%s%d", o.ID, o.Seq)
			if fail {
				fail = false
				return errors.New("a failed attempt is not remembered")
			}
			return nil
		}, eventbus.Use(eventbus.Idempotent(inbox.Memory(10)))))
		start(t, bus)
		p := eventbus.NewPublisher(bus, topic)
		for range 3 {
			must(t, p.PublishWith(t.Context(), order{"a", 1}, eventbus.WithID("e-1")))
		}
		must(t, p.PublishWith(t.Context(), order{"a", 2}, eventbus.WithID("e-2")))
		pass(time.Minute)
		if got := s.String(); got != "a1 a1 a2" {
			t.Fatal(got)
		}
		closeBus(t, bus)
	})
}

// TestMiddlewareThatLeavesEventsOut: the indexes in the error of a handler that does not get the
// whole batch are never taken for those of the batch; a middleware may translate them.
func TestMiddlewareThatLeavesEventsOut(t *testing.T) {
	for _, does := range []string{"passes on a delivery of its own", "changes the delivery", "translates"} {
		run(t, func(t *testing.T, cluster *memory.Cluster) {
			bus, topic := newBus(t, cluster, config()), orders(t)
			batches := 0
			must(t, bus.Add(eventbus.OnBatch(topic, refusesSecond(&batches), eventbus.Use(func(next eventbus.Handler) eventbus.Handler {
				return func(ctx context.Context, d *eventbus.Delivery) error {
					all, rest := d.Events, *d
					passed := &rest
					if does == "changes the delivery" {
						passed = d
					}
					if first, _ := topic.Decode(all[0]); first.Seq == 0 {
						passed.Events = all[1:]
					}
					if len(passed.Events) == 0 {
						return nil
					}
					err := next(ctx, passed)
					if marks := new(eventbus.BatchError); does == "translates" && errors.As(err, &marks) {
						return &eventbus.BatchError{Errors: map[int]error{len(all) - 1: marks.Of(len(passed.Events) - 1)}}
					}
					return err
				}
			}))))
			must(t, eventbus.NewPublisher(bus, topic).PublishBatch(t.Context(), []order{{"a", 0}, {"a", 1}, {"a", 2}}))
			start(t, bus)
			pass(time.Minute)
			letters := cluster.Records(orderLetters)
			if len(letters) != 1 || !strings.Contains(string(letters[0].Value), "2") {
				t.Errorf("%d dead letters: %+v", len(letters), letters)
			}
			if want := map[bool]int{false: 3, true: 1}[does == "translates"]; batches != want {
				t.Errorf("a middleware that %s: handled in %d parts, want %d", does, batches, want)
			}
			closeBus(t, bus)
		})
	}
}

// TestMiddlewareThatPassesOnAllEvents: the indexes in the error of a handler that gets the events
// in another order are not taken for those of the batch; those of copies are.
func TestMiddlewareThatPassesOnAllEvents(t *testing.T) {
	for _, c := range []struct {
		does  string
		parts int
		pass  func(d *eventbus.Delivery) *eventbus.Delivery
	}{
		{"reverses them where they are", 4, func(d *eventbus.Delivery) *eventbus.Delivery {
			slices.Reverse(d.Events)
			return d
		}},
		{"copies them", 1, func(d *eventbus.Delivery) *eventbus.Delivery {
			copied := *d
			copied.Events = nil
			for _, e := range d.Events {
				copied.Events = append(copied.Events, e.Clone())
			}
			return &copied
		}},
	} {
		run(t, func(t *testing.T, cluster *memory.Cluster) {
			bus, topic := newBus(t, cluster, config()), orders(t)
			batches := 0
			must(t, bus.Add(eventbus.OnBatch(topic, refusesSecond(&batches), eventbus.Use(func(next eventbus.Handler) eventbus.Handler {
				return func(ctx context.Context, d *eventbus.Delivery) error { return next(ctx, c.pass(d)) }
			}))))
			must(t, eventbus.NewPublisher(bus, topic).PublishBatch(t.Context(), []order{{"a", 0}, {"a", 1}, {"a", 2}}))
			start(t, bus)
			pass(time.Minute)
			letters := cluster.Records(orderLetters)
			if len(letters) != 1 || !strings.Contains(string(letters[0].Value), "2") {
				t.Errorf("a middleware that %s: %d dead letters: %+v", c.does, len(letters), letters)
			}
			if batches != c.parts {
				t.Errorf("a middleware that %s: handled in %d parts, want %d", c.does, batches, c.parts)
			}
			closeBus(t, bus)
		})
	}
}

// TestIdempotentAndMarks: events that the inbox rolled back are handled again, and the mark
// on an event that is handled alone holds: a permanent error is not retried.
func TestIdempotentAndMarks(t *testing.T) {
	for name, c := range map[string]struct {
		mark func(error) error
		want outcomes
	}{
		"permanent": {eventbus.Permanent, outcomes{4, 1, 0}},
		"discarded": {eventbus.Discard, outcomes{4, 0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			got, letters := handleWith(t, 3, func(topic *eventbus.Topic[order], attempts *int) eventbus.Subscription {
				return eventbus.OnBatch(topic, func(_ context.Context, events []order) error {
					*attempts++
					for i, o := range events {
						if o.Seq == 1 {
							return &eventbus.BatchError{Errors: map[int]error{i: c.mark(errBoom)}}
						}
					}
					return nil
				}, eventbus.Use(eventbus.Idempotent(inbox.Memory(10))))
			})
			if got != c.want {
				t.Errorf("%+v, want %+v: %s", got, c.want, letters)
			}
		})
	}
}

// refusesSecond returns a batch handler that counts its calls, and refuses the order of number 2
// by its index.
func refusesSecond(batches *int) func(context.Context, []order) error {
	return func(_ context.Context, events []order) error {
		*batches++
		for i, o := range events {
			if o.Seq == 2 {
				return &eventbus.BatchError{Errors: map[int]error{i: eventbus.Permanent(errBoom)}}
			}
		}
		return nil
	}
}
