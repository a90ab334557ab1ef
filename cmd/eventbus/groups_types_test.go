package main

import (
	"context"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/admin"
	"github.com/eventbus-go/eventbus/kafkatest"
)

type customerMoved struct {
	CustomerID string
	Street     string
}

// until polls for a state that nothing signals.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	over := time.After(time.Minute)
	for !done() {
		select {
		case <-over:
			t.Fatalf("%s: not within a minute", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestGroupsTypes: if an older member of a group does not know a type, the tool shows who
// does and what is held, and gives the type up.
func TestGroupsTypes(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		group := "types-" + b.Environment()
		moved := eventbus.NewTopic(eventbus.TopicConfig[customerMoved]{
			Domain: "sales", Name: "customer", Plural: true, Partitions: 3, Key: func(e customerMoved) string { return e.CustomerID },
		})
		handle := func(context.Context, customerMoved) error { return nil }
		newer := b.Start(t, eventbus.On(customers, welcome, eventbus.Group(group)), eventbus.On(moved, handle, eventbus.Group(group)))
		older := b.Start(t, eventbus.On(customers, welcome, eventbus.Group(group)))
		service := httptest.NewServer(admin.Handler(older))
		defer service.Close()
		until(t, "the older member has a partition of the topic", func() bool {
			g := older.Operator().Inspect().Groups[0]
			return g.State == "stable" && slices.ContainsFunc(g.Partitions, func(p eventbus.PartitionInspection) bool { return p.Topic == b.topic })
		})
		var events []customerMoved
		for n := range 50 {
			events = append(events, customerMoved{CustomerID: string(rune('a'+n%26)) + string(rune('a'+n/26))})
		}
		if err := eventbus.NewPublisher(newer, moved).PublishBatch(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		until(t, "the older member holds some", func() bool { return len(older.Operator().Inspect().Groups[0].Held) > 0 })
		b.run(t, "groups", "types", group, "--admin", service.URL).ok("customerMoved", "customerCreated", "a member handles it")
		var d typesDescription
		b.run(t, "groups", "types", group, "--admin", service.URL, "-o", "json").json(&d)
		if len(d.Members) != 2 || len(d.Members[0].Types)+len(d.Members[1].Types) != 3 || len(d.Held) != 1 || d.Held[0].Type != "customerMoved" {
			t.Errorf("%+v", d)
		}
		b.run(t, "groups", "types", group, "--forget", "customerMoved").fails(exitMisuse, "--admin URL")
		b.run(t, "groups", "types", group, "--forget", "Other", "--topic", b.topic, "--admin", service.URL, "--yes").fails(exitFailed, "no event of type")
		b.run(t, "groups", "types", group, "--forget", "customerMoved", "--topic", b.topic, "--admin", service.URL, "--yes").ok("has given it up")
		b.Settle(t)
		kafkatest.Publish(t, b.Cluster, customers, customerCreated{"c-1", "Ann"})
		b.Settle(t)
	})
}
