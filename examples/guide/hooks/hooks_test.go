package hooks_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/examples/guide/hooks"
	"github.com/eventbus-go/eventbus/examples/readme/sales"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport"
)

type pager chan string

func (p pager) Page(_ context.Context, text string) { p <- text }

// prices counts partitions: hooks of one subscription are called one after another here.
type prices struct{ loaded, dropped int }

func (p *prices) Load(context.Context, transport.Partition) { p.loaded++ }
func (p *prices) Drop(transport.Partition, bool)            { p.dropped++ }

func TestHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.NewMemory(t)
		bus := cluster.Bus(t)
		called, kept := make(pager, 1), new(prices)
		welcome := func(context.Context, sales.CustomerCreated) error {
			if kept.loaded == 0 {
				t.Error("handled before prices were loaded")
			}
			return eventbus.Permanent(errors.New("no such address"))
		}
		if err := hooks.Add(bus, welcome, called, kept); err != nil {
			t.Fatal(err)
		}
		if err := bus.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		created := sales.CustomerCreated{CustomerID: "c-1", Name: "Ada"}
		if err := eventbus.NewPublisher(bus, sales.CustomerCreatedTopic).PublishWith(t.Context(), created, eventbus.WithID("e-1")); err != nil {
			t.Fatal(err)
		}
		if got, want := <-called, "CustomerCreated e-1 given up: permanent"; got != want {
			t.Errorf("paged %q, want %q", got, want)
		}
		if err := bus.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if kept.loaded == 0 || kept.dropped != kept.loaded {
			t.Errorf("%d loaded, %d dropped", kept.loaded, kept.dropped)
		}
	})
}
