package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// outcomes counts what happened to the events of one subscription.
type outcomes struct{ attempts, letters, discarded int }

// handleWith publishes events of one key, and returns what happened to them.
func handleWith(t *testing.T, events int, subscribe func(*eventbus.Topic[order], *int) eventbus.Subscription) (got outcomes, letters string) {
	t.Helper()
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		must(t, bus.Add(subscribe(topic, &got.attempts)))
		p := eventbus.NewPublisher(bus, topic)
		batch := make([]order, events)
		for i := range batch {
			batch[i] = order{"a", i}
		}
		start(t, bus)
		// Pause until all events are there, so that a batch handler gets them
		// together.
		name := bus.Operator().Inspect().Groups[0].Subscriptions[0].Name
		must(t, bus.Operator().Pause(ordersGroup, name))
		must(t, p.PublishBatch(t.Context(), batch))
		pass(time.Second)
		must(t, bus.Operator().Resume(ordersGroup, name))
		pass(10 * time.Minute)
		for _, r := range cluster.Records(ordersName + "." + ordersGroup + ".dlq") {
			got.letters++
			text, _ := r.Header("eventbus-dlq-error")
			letters += string(text) + "\n"
		}
		for _, g := range bus.Operator().Inspect().Groups {
			for _, s := range g.Subscriptions {
				got.discarded += int(s.Discarded)
			}
			for _, p := range g.Partitions {
				if p.Records != 0 || p.Watermark != p.Next {
					t.Errorf("%d events in hand, watermark %d of %d", p.Records, p.Watermark, p.Next)
				}
			}
		}
		closeBus(t, bus)
	})
	return got, letters
}

// TestOnError: a policy marks errors, and its mark takes effect.
func TestOnError(t *testing.T) {
	three := eventbus.Retry(resilience.Retry{Attempts: 3})
	for _, c := range []struct {
		name   string
		err    error
		decide func(error) error
		want   outcomes
	}{
		{"left as it is", errBoom, func(err error) error { return err }, outcomes{3, 1, 0}},
		{"nil handles nothing", errBoom, func(error) error { return nil }, outcomes{3, 1, 0}},
		{"a dead letter now", errBoom, eventbus.Permanent, outcomes{1, 1, 0}},
		{"discarded", errBoom, eventbus.Discard, outcomes{1, 0, 1}},
		{"the handler's own mark", eventbus.Discard(errBoom), nil, outcomes{1, 0, 1}},
		{"discarded though permanent", eventbus.Permanent(errBoom), eventbus.Discard, outcomes{1, 0, 1}},
		{"kept though discarded", eventbus.Discard(errBoom), eventbus.Permanent, outcomes{1, 1, 0}},
		{"retried though permanent", eventbus.Permanent(errBoom), func(err error) error { return eventbus.RetryAfter(time.Second, err) }, outcomes{3, 1, 0}},
		{"joined with another, no mark counts", errors.Join(eventbus.Discard(errBoom), errBoom), nil, outcomes{3, 1, 0}},
		{"an open breaker is not a fault of the event", fmt.Errorf("w: %w", eventbus.Permanent(eventbus.ErrCircuitOpen)), nil, outcomes{1, 1, 0}},
		{"a panic of the policy is retried", errBoom, func(error) error { panic("policy") }, outcomes{3, 1, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, letters := handleWith(t, 1, func(topic *eventbus.Topic[order], attempts *int) eventbus.Subscription {
				options := []eventbus.SubscribeOption{three}
				if c.decide != nil {
					options = append(options, eventbus.OnError(c.decide))
				}
				return eventbus.On(topic, func(context.Context, order) error { *attempts++; return c.err }, options...)
			})
			if got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
			if strings.Contains(c.name, "panic") && (!strings.Contains(letters, "the function of OnError panicked at") || !strings.Contains(letters, errBoom.Error())) {
				t.Errorf("the dead letter says %q", letters)
			}
		})
	}
}

// TestOnErrorSeesPanicsAndDecoding: a policy also sees panics and decoding errors.
func TestOnErrorSeesPanicsAndDecoding(t *testing.T) {
	got, _ := handleWith(t, 1, func(topic *eventbus.Topic[order], attempts *int) eventbus.Subscription {
		return eventbus.On(topic, func(context.Context, order) error { *attempts++; panic("handler") }, eventbus.OnError(func(err error) error {
			if p := new(eventbus.PanicError); errors.As(err, &p) {
				return eventbus.Discard(err)
			}
			return err
		}))
	})
	if want := (outcomes{1, 0, 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestOnErrorAndBatches: even a policy that gives up everything gives up only events
// that were tried by themselves.
func TestOnErrorAndBatches(t *testing.T) {
	for _, c := range []struct {
		name   string
		handle func([]order) error
		want   outcomes
	}{
		{"of an error of all, those that fail alone", func(events []order) error {
			if slices.ContainsFunc(events, func(o order) bool { return o.Seq == 2 }) {
				return errBoom
			}
			return nil
		}, outcomes{6, 0, 1}},
		{"the marked ones", func(events []order) error {
			return &eventbus.BatchError{Errors: map[int]error{1: errBoom, 3: errBoom}}
		}, outcomes{1, 0, 2}},
		{"the one that it stopped at, and not those behind", func(events []order) error {
			if len(events) > 1 {
				return eventbus.StoppedAt(1, errBoom)
			}
			return nil
		}, outcomes{4, 0, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, letters := handleWith(t, 5, func(topic *eventbus.Topic[order], attempts *int) eventbus.Subscription {
				return eventbus.OnBatch(topic, func(_ context.Context, events []order) error { *attempts++; return c.handle(events) }, eventbus.OnError(eventbus.Discard))
			})
			if got != c.want {
				t.Errorf("%+v, want %+v: %s", got, c.want, letters)
			}
		})
	}
	got, _ := handleWith(t, 5, func(topic *eventbus.Topic[order], attempts *int) eventbus.Subscription {
		return eventbus.OnBatch(topic, func(_ context.Context, events []order) error { *attempts++; return eventbus.Discard(errBoom) })
	})
	if want := (outcomes{1, 0, 5}); got != want {
		t.Errorf("a handler that discards its batch: %+v, want %+v", got, want)
	}
}

// TestDiscardAndTheBreaker: discarded events say nothing about a dependency.
func TestDiscardAndTheBreaker(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		must(t, bus.Add(eventbus.On(topic, func(context.Context, order) error { return errBoom }, eventbus.OnError(eventbus.Discard),
			eventbus.Breaker(resilience.BreakerConfig{MinKeys: 1, MinAttempts: 1, After: -1}))))
		start(t, bus)
		for i := range 50 {
			must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{fmt.Sprint(i), 1}))
		}
		pass(time.Minute)
		if s := bus.Operator().Inspect().Groups[0].Subscriptions[0]; s.Breaker != "closed" || s.Discarded != 50 {
			t.Errorf("breaker %s, %d discarded", s.Breaker, s.Discarded)
		}
		closeBus(t, bus)
	})
}

// TestRetryWait: the function decides the waits, which are cut off at the policy's
// end.
func TestRetryWait(t *testing.T) {
	hour := resilience.Retry{Attempts: 4, Elapsed: time.Hour}
	for _, c := range []struct {
		name  string
		retry resilience.Retry
		wait  func(int, error) time.Duration
		want  []time.Duration
	}{
		{"constant", hour, resilience.Constant(7 * time.Second), []time.Duration{7 * time.Second, 7 * time.Second, 7 * time.Second}},
		{"steps", hour, resilience.Steps(time.Second, time.Minute), []time.Duration{time.Second, time.Minute, time.Minute}},
		{"no steps", hour, resilience.Steps(), []time.Duration{time.Millisecond, time.Millisecond, time.Millisecond}},
		{"by attempt and error", hour, func(n int, err error) time.Duration {
			if !errors.Is(err, errBoom) {
				return 0
			}
			return time.Duration(n) * time.Second
		}, []time.Duration{time.Second, 2 * time.Second, 3 * time.Second}},
		{"less than nothing", hour, resilience.Constant(-time.Hour), []time.Duration{time.Millisecond, time.Millisecond, time.Millisecond}},
		{"cut to the policy's time", resilience.Retry{Elapsed: time.Minute}, resilience.Constant(40 * time.Second), []time.Duration{40 * time.Second, 20 * time.Second}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var at []time.Time
			got, _ := handleWith(t, 1, func(topic *eventbus.Topic[order], _ *int) eventbus.Subscription {
				return eventbus.On(topic, func(context.Context, order) error { at = append(at, time.Now()); return errBoom },
					eventbus.Retry(c.retry), eventbus.RetryWait(c.wait))
			})
			var waits []time.Duration
			for i := range at[1:] {
				waits = append(waits, at[i+1].Sub(at[i]))
			}
			if !slices.Equal(waits, c.want) || got.letters != 1 {
				t.Errorf("waits %v, want %v; %d dead letters", waits, c.want, got.letters)
			}
		})
	}
	t.Run("of a batch that marks its one event", func(t *testing.T) {
		var at []time.Time
		handleWith(t, 1, func(topic *eventbus.Topic[order], _ *int) eventbus.Subscription {
			return eventbus.OnBatch(topic, func(context.Context, []order) error {
				at = append(at, time.Now())
				return eventbus.StoppedAt(0, errBoom)
			},
				eventbus.Retry(hour), eventbus.RetryWait(resilience.Constant(7*time.Second)))
		})
		for i := range at[1:] {
			if wait := at[i+1].Sub(at[i]); wait != 7*time.Second {
				t.Errorf("waited %v before attempt %d", wait, i+2)
			}
		}
		if len(at) != hour.Attempts {
			t.Errorf("%d attempts", len(at))
		}
	})
	t.Run("a panic", func(t *testing.T) {
		got, letters := handleWith(t, 1, func(topic *eventbus.Topic[order], attempts *int) eventbus.Subscription {
			return eventbus.On(topic, func(context.Context, order) error { *attempts++; return errBoom },
				eventbus.Retry(resilience.Retry{Attempts: 3}), eventbus.RetryWait(func(int, error) time.Duration { panic("wait") }))
		})
		if got.attempts != 3 || got.letters != 1 || !strings.Contains(letters, "the function of RetryWait panicked") && got.letters == 1 && !strings.Contains(letters, "boom") {
			t.Errorf("%+v: %s", got, letters)
		}
	})
}

// TestOnErrorAndPartsOfBatches: an error for a part of a batch, of which other events
// can't be decoded, applies to that part alone, and never to events that were not
// tried.
func TestOnErrorAndPartsOfBatches(t *testing.T) {
	odd := errors.New("odd")
	for _, c := range []struct {
		name   string
		err    error // of a handler of several events
		decide func(error) error
		want   outcomes
	}{
		{"stopped at", eventbus.StoppedAt(1, errBoom), func(err error) error {
			if errors.Is(err, odd) {
				return err
			}
			return eventbus.Discard(err)
		}, outcomes{3, 1, 1}},
		{"a mark around marks", eventbus.Permanent(&eventbus.BatchError{Errors: map[int]error{1: errBoom}}), nil, outcomes{1, 2, 0}},
		{"discarded", eventbus.Discard(errBoom), nil, outcomes{1, 1, 4}},
		{"permanent", eventbus.Permanent(errBoom), nil, outcomes{1, 5, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, letters := handleWith(t, 5, func(topic *eventbus.Topic[order], attempts *int) eventbus.Subscription {
				var options []eventbus.SubscribeOption
				if c.decide != nil {
					options = append(options, eventbus.OnError(c.decide))
				}
				return eventbus.OnBatch(topic, eventbus.UpcastBatch(func(o order) (order, error) {
					if o.Seq == 1 {
						return o, odd
					}
					return o, nil
				}, func(_ context.Context, events []order) error {
					if *attempts++; len(events) > 1 {
						return c.err
					}
					return nil
				}), options...)
			})
			if got != c.want || strings.Count(letters, "odd") != 1 {
				t.Errorf("%+v, want %+v; the dead letters say %q", got, c.want, letters)
			}
		})
	}
}

// TestDiscardSparesWhatIsNoEvent: a handler that discards its batch has not seen the
// records in it that are not events.
func TestDiscardSparesWhatIsNoEvent(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		must(t, bus.Add(eventbus.OnBatch(topic, func(context.Context, []order) error { return errBoom }, eventbus.OnError(eventbus.Discard))))
		must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"k", 0}))
		raw(t, cluster, foreignRecord(topic.In("Test"), false, "{}", "id", ""))
		start(t, bus)
		pass(time.Minute)
		if n := bus.Operator().Inspect().Groups[0].Subscriptions[0].Discarded; n != 1 {
			t.Errorf("%d discarded", n)
		}
		if got := cluster.Records(ordersName + "." + ordersGroup + ".dlq"); len(got) != 1 {
			t.Errorf("%d dead letters", len(got))
		}
		closeBus(t, bus)
	})
}
