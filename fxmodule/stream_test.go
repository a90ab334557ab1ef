package fxmodule_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/fxmodule"
	"github.com/eventbus-go/eventbus/transport"
)

// tally counts how often each event was handled.
type tally struct {
	mu      sync.Mutex
	times   map[int]int
	half    chan struct{} // closed when at events were handled
	at, all int
	done    chan struct{} // closed when all were
}

func newTally(at, all int) *tally {
	return &tally{times: make(map[int]int), half: make(chan struct{}), at: at, all: all, done: make(chan struct{})}
}

func (c *tally) count(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.times[n]++
	switch {
	case c.times[n] > 1:
	case len(c.times) == c.at:
		close(c.half)
	case len(c.times) == c.all:
		close(c.done)
	}
}

func (c *tally) handled() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.times)
}

func (c *tally) repeated(t *testing.T, what string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.times) != c.all {
		t.Errorf("%d %s handled, want %d", len(c.times), what, c.all)
	}
	for n, times := range c.times {
		if times != 1 {
			t.Errorf("%s %d handled %d times", what, n, times)
		}
	}
}

// TestStopMidStream tests promises 4 and 7 through fx: an application is stopped in
// the middle of 5,000 orders, for each of which it publishes an invoice, and
// another one continues. Each order and each invoice is handled exactly once.
func TestStopMidStream(t *testing.T) {
	const all = 5000
	cluster := newCluster(t)
	billed, paid := newTally(all/5, all), newTally(all/5, all)
	application := func(more ...fx.Option) *fx.App {
		return start(t, testConfig, on(cluster),
			fxmodule.Publisher(invoices),
			fx.Provide(newBiller),
			fxmodule.Subscribe(orders, func(b *biller, ctx context.Context, o order) error {
				err := b.Bill(ctx, o)
				if err == nil {
					billed.count(o.N)
				}
				return err
			}),
			fxmodule.SubscribeFunc(invoices, func(_ context.Context, i invoice) error { paid.count(i.N); return nil }),
			fx.Options(more...))
	}
	publish(t, cluster, all)
	first := application()
	receive(t, billed.half)
	stop(t, first)
	if n := billed.handled(); n == all {
		t.Fatal("all were handled before the stop: the test shows nothing")
	} else {
		t.Logf("stopped after %d of %d", n, all)
	}
	second := application()
	receive(t, billed.done)
	receive(t, paid.done)
	stop(t, second)
	billed.repeated(t, "orders")
	paid.repeated(t, "invoices")
	if n := len(cluster.Records(invoices.In("Test"))); n != all {
		t.Errorf("%d invoices were published", n)
	}
}

// publish writes orders with a hundred keys.
func publish(t *testing.T, cluster transport.Transport, all int) {
	t.Helper()
	bus, err := eventbus.New(lasting{cluster}, eventbus.Config{Service: "shop", Environment: "Test", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	events := make([]order, all)
	for i := range events {
		events[i] = order{ID: fmt.Sprint("o-", i%100), N: i}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := eventbus.NewPublisher(bus, orders).PublishBatch(ctx, events); err != nil {
		t.Fatal(err)
	}
	if err := bus.Close(ctx); err != nil {
		t.Fatal(err)
	}
}
