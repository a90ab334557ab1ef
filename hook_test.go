package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// hookLog records the calls of hooks, in order.
type hookLog struct{ story }

// take returns the calls since the last take.
func (l *hookLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { l.seen = nil }()
	return strings.Join(l.seen, "; ")
}

func numbersOf(partitions []transport.Partition) (n []int32) {
	for _, p := range partitions {
		n = append(n, p.Partition)
	}
	return n
}

// TestHooksAroundHandling: hooks are called before the first event of a partition is handled,
// and after the last one is committed; once each, and not for retry topics.
func TestHooksAroundHandling(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		var log hookLog
		topic := orders(t)
		member := func(name string) *eventbus.Bus {
			bus := newBus(t, cluster, config())
			must(t, eventbus.Subscribe(bus, topic, func(_ context.Context, o order) error {
				log.add("%s handles %s", name, o.ID)
				return nil
			}, eventbus.OnAssigned(func(ctx context.Context, partitions []transport.Partition) {
				if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) != 5*time.Second {
					t.Errorf("the context ends at %v", deadline)
				}
				log.add("%s gets %d", name, numbersOf(partitions))
			}), eventbus.OnRevoked(func(ctx context.Context, partitions []transport.Partition, lost bool) {
				committed := int64(0)
				for _, p := range partitions {
					committed += cluster.Committed(ordersGroup)[p].Offset
				}
				log.add("%s gives %d of %s, lost %v, %d committed, context %v", name, numbersOf(partitions), partitions[0].Topic, lost, committed, ctx.Err())
			})))
			start(t, bus)
			return bus
		}
		first := member("A")
		synctest.Wait()
		must(t, eventbus.NewPublisher(first, topic).Publish(t.Context(), order{"k", 1}))
		synctest.Wait() // takes less than the time between two commits
		if got, want := log.take(), "A gets [0 1 2]; A handles k"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		second := member("B")
		pass(time.Minute)
		if got := log.take(); !strings.HasPrefix(got, "A gives [") || strings.Count(got, "B gets [") != 1 || strings.Contains(got, "handles") {
			t.Errorf("as B joins: %s", got)
		}
		must(t, second.Drain(t.Context()))
		if got := log.take(); !strings.HasPrefix(got, "B gives [") {
			t.Errorf("as B leaves: %s", got)
		}
		pass(time.Minute)
		log.take()
		must(t, eventbus.NewPublisher(first, topic).Publish(t.Context(), order{"k", 2}))
		synctest.Wait()
		closeBus(t, first)
		if got, want := log.take(), "A handles k; A gives [0 1 2] of "+ordersName+", lost false, 2 committed, context <nil>"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

// TestOnRevokedOfWhatIsLost: a member that was expelled is told that its partitions are lost.
func TestOnRevokedOfWhatIsLost(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		var log hookLog
		bus, topic := newBus(t, cluster, config()), orders(t)
		must(t, eventbus.Subscribe(bus, topic, func(context.Context, order) error { return nil },
			eventbus.OnRevoked(func(_ context.Context, partitions []transport.Partition, lost bool) {
				log.add("%d, lost %v", numbersOf(partitions), lost)
			})))
		start(t, bus)
		synctest.Wait()
		must(t, cluster.Expel(ordersGroup))
		synctest.Wait()
		if got, want := log.take(), "[0 1 2], lost true"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		closeBus(t, bus)
	})
}

// TestHookOfSeveralTopics: one option in Config.Handling is one hook, called once for an
// assignment; two options are two.
func TestHookOfSeveralTopics(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		var log hookLog
		hook := func(name string) eventbus.SubscribeOption {
			return eventbus.OnAssigned(func(_ context.Context, p []transport.Partition) { log.add("%s: %d", name, len(p)) })
		}
		c := config()
		c.Handling = append(c.Handling, hook("all"))
		bus, topic := newBus(t, cluster, c), orders(t)
		must(t, bus.Add(
			eventbus.On(topic, func(context.Context, order) error { return nil }),
			eventbus.OnDelete(topic, func(context.Context, string) error { return nil }),
			eventbus.On(shipments(t), func(context.Context, shipment) error { return nil }, hook("own")),
		))
		start(t, bus)
		synctest.Wait()
		if got := log.take(); got != "all: 4; own: 1" && got != "own: 1; all: 4" {
			t.Error(got)
		}
		closeBus(t, bus)
	})
}

// TestHookOutlivesItsFaults: a hook that panics or ends its goroutine delays nothing; one
// that hangs delays events once, by its five seconds; and no hook is called concurrently with
// itself.
func TestHookOutlivesItsFaults(t *testing.T) {
	for name, test := range map[string]struct {
		misbehave func(stop chan struct{})
		delay     time.Duration
		logged    string
	}{
		"panics": {func(chan struct{}) { panic("no") }, 0, "the hook OnAssigned panicked at "},
		"ends":   {func(chan struct{}) { runtime.Goexit() }, 0, ""},
		"hangs":  {func(stop chan struct{}) { <-stop }, 5 * time.Second, "hooks about partitions take too long"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, cluster *memory.Cluster) {
				var book logbook
				c := config()
				c.Logger = book.logger(slog.LevelWarn)
				stop, called := make(chan struct{}), 0
				bus, topic := newBus(t, cluster, c), orders(t)
				var handled time.Time
				must(t, eventbus.Subscribe(bus, topic, func(context.Context, order) error {
					handled = time.Now()
					return nil
				}, eventbus.OnAssigned(func(context.Context, []transport.Partition) { called++; test.misbehave(stop) })))
				begun := time.Now()
				start(t, bus)
				must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"k", 1}))
				pass(time.Minute)
				if delay := handled.Sub(begun); delay != test.delay {
					t.Errorf("handled after %v, want %v", delay, test.delay)
				}
				cluster.Rebalance(ordersGroup)
				must(t, cluster.Expel(ordersGroup))
				pass(time.Minute)
				if hangs := name == "hangs"; (called == 1) != hangs {
					t.Errorf("called %d times", called)
				}
				if !strings.Contains(book.String(), test.logged) {
					t.Errorf("logged: %s", book.String())
				}
				close(stop)
				closeBus(t, bus)
			})
		})
	}
}

// TestOnDeadLetter: the hook gets what failed and where the letter is, once it is written,
// including records that reach no handler.
func TestOnDeadLetter(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		var told []eventbus.DeadLetter
		must(t, eventbus.Subscribe(bus, topic, func(context.Context, order) error { return eventbus.Permanent(errBoom) },
			eventbus.OnDeadLetter(func(ctx context.Context, l eventbus.DeadLetter) {
				if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) != 5*time.Second {
					t.Errorf("the context ends at %v", deadline)
				}
				if len(letters(cluster, orderLetters)) <= len(told) {
					t.Error("told before the letter was there")
				}
				told = append(told, l)
			})))
		start(t, bus)
		must(t, eventbus.NewPublisher(bus, topic).PublishWith(t.Context(), order{"k", 1}, eventbus.WithID("e-1")))
		synctest.Wait()
		write(t, cluster, &transport.Record{Topic: ordersName, Partition: 1, Key: []byte("k"), Value: []byte("no event")})
		pass(time.Second)
		closeBus(t, bus)
		if len(told) != 2 {
			t.Fatalf("told of %d", len(told))
		}
		l := told[0]
		if l.Group != ordersGroup || l.EventID != "e-1" || l.Type != "order" || l.Reason != "permanent" || l.Attempts != 1 || !errors.Is(l.Err, errBoom) ||
			l.Letter.Topic != orderLetters || l.Letter.Offset != 0 || l.Event.Topic != ordersName || l.Event.Partition.Partition != l.Letter.Partition.Partition {
			t.Errorf("%+v", l)
		}
		if l := told[1]; l.Reason != "malformed" || l.EventID != "" || l.Event.Partition.Partition != 1 {
			t.Errorf("%+v", l)
		}
	})
}

// TestOnDeadLetterHoldsUpNothing: while a hook hangs, letters are written and events handled.
// The calls that wait are bounded, missed ones are logged and counted, and Close waits no
// longer than promised.
func TestOnDeadLetterHoldsUpNothing(t *testing.T) {
	const all = 1500
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		var book logbook
		c := config()
		l := newListener()
		c.Logger, c.MeterProvider = book.logger(slog.LevelWarn), l.meter
		missed := func() float64 { return sum(l.collect(t)["eventbus.hooks.missed"], nil) }
		c.Handling = []eventbus.SubscribeOption{eventbus.Retry(resilience.NoRetry())}
		bus, topic := newBus(t, cluster, c), orders(t)
		stop := make(chan struct{})
		must(t, eventbus.Subscribe(bus, topic, func(context.Context, order) error { return eventbus.Permanent(errBoom) },
			eventbus.OnDeadLetter(func(context.Context, eventbus.DeadLetter) { <-stop })))
		start(t, bus)
		events := make([]order, all)
		for i := range events {
			events[i] = order{fmt.Sprint(i % 10), i}
		}
		must(t, eventbus.NewPublisher(bus, topic).PublishBatch(t.Context(), events))
		pass(time.Second)
		if n := len(cluster.Records(orderLetters)); n != all {
			t.Errorf("%d of %d letters", n, all)
		}
		// One call is running, and a thousand wait.
		if n := missed(); n != all-1001 {
			t.Errorf("%v missed by then", n)
		}
		begun := time.Now()
		closeBus(t, bus)
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("closed in %v", took)
		}
		if n := len(book.records(t, "msg", "a hook is behind: it is not told of dead letters until it has caught up")); n != 1 {
			t.Errorf("logged %d times that the hook is behind", n)
		}
		if r := book.records(t, "msg", "a hook was not told of all dead letters"); len(r) != 1 || r[0]["lost"] != float64(all-1) {
			t.Errorf("at the end: %v", r)
		}
		if n := missed(); n != all-1 {
			t.Errorf("%v missed in all", n)
		}
		close(stop)
	})
}

func TestHooksThatAreNil(t *testing.T) {
	cluster := memory.New()
	bus := newBus(t, cluster, config())
	err := eventbus.Subscribe(bus, orders(t), func(context.Context, order) error { return nil },
		eventbus.OnAssigned(nil), eventbus.OnRevoked(nil), eventbus.OnDeadLetter(nil))
	for _, option := range []string{"OnAssigned", "OnRevoked", "OnDeadLetter"} {
		if err == nil || !strings.Contains(err.Error(), option+": the function is nil") {
			t.Errorf("%v says nothing of %s", err, option)
		}
	}
}

// TestOnRevokedAfterTheTimeToClose: if a handler keeps a bus from closing in time, the hook
// is still called, with a little time in its context.
func TestOnRevokedAfterTheTimeToClose(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		var log hookLog
		stop := make(chan struct{})
		bus, topic := newBus(t, cluster, config()), orders(t)
		must(t, eventbus.Subscribe(bus, topic, func(context.Context, order) error { <-stop; return nil },
			eventbus.OnRevoked(func(ctx context.Context, partitions []transport.Partition, lost bool) {
				deadline, _ := ctx.Deadline()
				log.add("%d, lost %v, for %v", numbersOf(partitions), lost, time.Until(deadline))
			})))
		start(t, bus)
		must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"k", 1}))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_ = bus.Close(ctx)
		synctest.Wait()
		if got, want := log.take(), "[0 1 2], lost false, for 1s"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		close(stop)
	})
}
