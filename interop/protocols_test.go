//go:build integration

package interop

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafka"
)

// TestProtocolsMixed: a group migrates to KIP-848 member by member, and back. Members of
// both protocols have their share of the topic, and read the retry partitions that belong
// to it.
func TestProtocolsMixed(t *testing.T) {
	c := newCluster(t, eventbus.Config{})
	needConsumerProtocol(t, c)
	environment := "interop-" + strings.ToLower(rand.Text()[:8])
	h := handledBy{by: make(map[string][]string), change: make(chan struct{}, 1)}
	member := func(name string, epochs bool) *eventbus.Bus {
		t.Helper()
		bus, err := eventbus.New(kafka.New(kafka.Config{Brokers: strings.Split(c.brokers, ","), ConsumerProtocol: epochs}), eventbus.Config{
			Service: "interop", Environment: environment, Source: "urn:interop", AutoProvision: eventbus.ProvisionAlways,
			HeartbeatInterval: 500 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)).With("member", name),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			_ = bus.Close(ctx)
		})
		must(t, eventbus.Subscribe(bus, customers, func(_ context.Context, event CustomerCreated) error {
			h.note(event.Name, name)
			return nil
		}))
		must(t, bus.Start(deadline(t)))
		return bus
	}
	has := func(bus *eventbus.Bus, n int) bool {
		g := bus.Operator().Inspect().Groups[0]
		live, retry := 0, 0
		for _, p := range g.Partitions {
			if p.Topic == customers.In(environment) {
				live++
			} else {
				retry++
			}
		}
		return g.State == "stable" && live == n && retry == n
	}
	newer := member("newer", true)
	h.await(t, "all partitions", func() bool { return has(newer, 6) })
	older := member("older", false)
	h.await(t, "half of the partitions each", func() bool { return has(newer, 3) && has(older, 3) })
	must(t, eventbus.NewPublisher(newer, customers).PublishBatch(deadline(t), func() (events []CustomerCreated) {
		for _, name := range numbered("event-", 300) {
			events = append(events, CustomerCreated{CustomerID: name, Name: name})
		}
		return events
	}()))
	h.await(t, "all events", func() bool { return h.count() == 300 })
	must(t, newer.Close(deadline(t)))
	h.await(t, "all partitions, back in the classic protocol", func() bool { return has(older, 6) })
	shares := h.shares()
	if shares["newer"] == 0 || shares["older"] == 0 || shares["newer"]+shares["older"] != 300 {
		t.Errorf("of 300 events, handled %v", shares)
	}
}
