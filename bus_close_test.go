package eventbus_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// TestCloseFromWithin: what a bus calls may close or drain it, without a deadline and with a
// handler without a timeout too: it waits for what waits for it no longer than a group waits
// for a handler, and the bus has ended.
func TestCloseFromWithin(t *testing.T) {
	type calls struct {
		handler     func(context.Context)
		options     []eventbus.SubscribeOption
		config      func(*eventbus.Config)
		fromOutside bool // the bus has to be closed to get there
	}
	idle := func(context.Context) {}
	for name, make := range map[string]func(end func(context.Context)) calls{
		"a handler": func(end func(context.Context)) calls { return calls{handler: end} },
		"a handler with a bound": func(end func(context.Context)) calls {
			return calls{handler: end, options: []eventbus.SubscribeOption{eventbus.Timeout(10 * time.Second)}}
		},
		"a handler without a context": func(end func(context.Context)) calls {
			return calls{handler: func(context.Context) { end(context.Background()) }}
		},
		"middleware": func(end func(context.Context)) calls {
			return calls{handler: idle, options: []eventbus.SubscribeOption{eventbus.Use(func(next eventbus.Handler) eventbus.Handler {
				return func(ctx context.Context, d *eventbus.Delivery) error {
					end(ctx)
					return next(ctx, d)
				}
			})}}
		},
		"OnAssigned": func(end func(context.Context)) calls {
			return calls{handler: idle, options: []eventbus.SubscribeOption{eventbus.OnAssigned(func(context.Context, []transport.Partition) { end(context.Background()) })}}
		},
		"OnRevoked": func(end func(context.Context)) calls {
			return calls{handler: idle, fromOutside: true, options: []eventbus.SubscribeOption{eventbus.OnRevoked(func(context.Context, []transport.Partition, bool) { end(context.Background()) })}}
		},
		"OnDeadLetter": func(end func(context.Context)) calls {
			return calls{handler: func(context.Context) { panic("boom") }, options: []eventbus.SubscribeOption{
				eventbus.Retry(resilience.NoRetry()), eventbus.OnDeadLetter(func(context.Context, eventbus.DeadLetter) { end(context.Background()) }),
			}}
		},
		"middleware of publishing": func(end func(context.Context)) calls {
			return calls{handler: idle, config: func(c *eventbus.Config) {
				c.PublishMiddleware = []eventbus.PublishMiddleware{func(context.Context, *eventbus.Envelope) error {
					end(context.Background())
					return nil
				}}
			}}
		},
	} {
		for ending, of := range map[string]func(*eventbus.Bus, context.Context) error{"Close": (*eventbus.Bus).Close, "Drain": (*eventbus.Bus).Drain} {
			t.Run(ending+" in "+name, func(t *testing.T) {
				run(t, func(t *testing.T, cluster *memory.Cluster) {
					var bus *eventbus.Bus
					called, returned := false, false
					var ended error
					c := config()
					calls := make(func(ctx context.Context) {
						if !called {
							called = true
							ended = of(bus, ctx)
							returned = true
						}
					})
					if calls.config != nil {
						calls.config(&c)
					}
					bus = newBus(t, cluster, c)
					topic := orders(t)
					must(t, eventbus.Subscribe(bus, topic, func(ctx context.Context, _ order) error {
						calls.handler(ctx)
						return nil
					}, append([]eventbus.SubscribeOption{eventbus.Timeout(0)}, calls.options...)...))
					start(t, bus)
					_ = eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"a", 1})
					if calls.fromOutside {
						closeBus(t, bus)
					}
					pass(2 * time.Minute)
					if !called {
						t.Error("it was not called")
					}
					if !returned {
						t.Errorf("%s has not returned after two minutes", ending)
					}
					// Who waits for itself gets no clean end if its context is the shorter bound.
					if ended != nil && !errors.Is(ended, context.DeadlineExceeded) && !errors.Is(ended, context.Canceled) {
						t.Error(ended)
					}
					closeBus(t, bus)
					if err := eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"a", 2}); !errors.Is(err, eventbus.ErrClosed) {
						t.Errorf("publishing afterwards: %v", err)
					}
				})
			})
		}
	}
}

// TestCloseOfAnyState: a bus is closed before its start, several times, and by several
// goroutines at once.
func TestCloseOfAnyState(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		for _, started := range []bool{false, true} {
			bus, topic := newBus(t, cluster, config()), orders(t)
			must(t, eventbus.Subscribe(bus, topic, func(context.Context, order) error { return nil }))
			if started {
				start(t, bus)
			}
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					if err := bus.Close(context.Background()); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			closeBus(t, bus)
			if err := bus.Start(t.Context()); !errors.Is(err, eventbus.ErrClosed) {
				t.Errorf("Start: %v", err)
			}
			if err := eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"a", 1}); !errors.Is(err, eventbus.ErrClosed) {
				t.Errorf("Publish: %v", err)
			}
			cluster = memory.New()
		}
	})
}
