package view_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/view"
)

type price struct {
	SKU   string `json:"sku"`
	Cents int    `json:"cents"`
}

// retired is another type of event on the topic of prices.
type retired price

var (
	prices = eventbus.NewTopic(eventbus.TopicConfig[price]{
		Domain: "shop", Name: "price", Plural: true, Compacted: true, Partitions: 3, Key: func(p price) string { return p.SKU },
	})
	retirements = eventbus.NewTopic(eventbus.TopicConfig[retired]{
		Domain: "shop", Name: "price", Plural: true, Compacted: true, Partitions: 3, Key: func(p retired) string { return p.SKU },
	})
	orders = eventbus.NewTopic(eventbus.TopicConfig[price]{Domain: "shop", Name: "order", Key: func(p price) string { return p.SKU }})
)

// on runs a test twice: in memory with fake time, and on a broker inside the process.
func on(t *testing.T, test func(t *testing.T, c *kafkatest.Cluster)) {
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, kafkatest.NewMemory(t)) })
	})
	t.Run("broker", func(t *testing.T) { test(t, kafkatest.NewBroker(t)) })
}

// begin starts a view that ends with the test.
func begin(t *testing.T, bus *eventbus.Bus, config view.Config) *view.View[price] {
	t.Helper()
	v, err := view.New(bus, prices, config)
	if err == nil {
		err = v.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return v
}

// want fails the test unless the view has these prices for these keys; 0 means no
// event.
func want(t *testing.T, v *view.View[price], cents map[string]int) {
	t.Helper()
	wantKeys(t, v, cents)
	got := make(map[string]int)
	if err := v.Range(t.Context(), func(key string, p price) error {
		got[key] = p.Cents
		return nil
	}); err != nil {
		t.Error(err)
	}
	for key, n := range cents {
		if got[key] != n {
			t.Errorf("Range has %d for %s, want %d", got[key], key, n)
		}
	}
}

// wantKeys is want without Range.
func wantKeys(t *testing.T, v *view.View[price], cents map[string]int) {
	t.Helper()
	for key, n := range cents {
		p, found, err := v.Get(t.Context(), key)
		if err != nil || found != (n != 0) || p.Cents != n {
			t.Errorf("%s: %v, %t, %v; want %d", key, p, found, err, n)
		}
	}
}

func publish(t *testing.T, p *eventbus.Publisher[price], v *view.View[price], events ...price) {
	t.Helper()
	for _, e := range events {
		r := p.PublishAsync(t.Context(), e)
		if v == nil {
			if _, err := r.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		} else if err := v.WaitFor(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}

// await polls until ok returns true: a view signals progress only to WaitFor.
func await(t *testing.T, v *view.View[price], what string, ok func() bool) {
	t.Helper()
	for range 600 {
		if ok() {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond): // fake in memory
		case <-t.Context().Done():
		}
	}
	t.Fatalf("no %s: %+v", what, v.Status())
}

// TestView: what was there at the start, what comes later, one's own writes,
// tombstones, and another type under the same key.
func TestView(t *testing.T) {
	on(t, func(t *testing.T, c *kafkatest.Cluster) {
		bus := c.Start(t)
		p := eventbus.NewPublisher(bus, prices)
		publish(t, p, nil, price{"a", 1}, price{"b", 2}, price{"c", 3}, price{"a", 4})
		if err := p.Delete(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		v := begin(t, bus, view.Config{})
		want(t, v, map[string]int{"a": 4, "b": 0, "c": 3, "never": 0})
		if s := v.Status(); s.Phase != view.Following || s.Keys != 2 || s.Read != 5 || s.Behind != 0 || len(s.Partitions) != 3 || s.ReadyAfter == 0 {
			t.Errorf("%+v", s)
		}
		publish(t, p, v, price{"a", 5}, price{"d", 6})
		want(t, v, map[string]int{"a": 5, "b": 0, "c": 3, "d": 6})

		if err := p.Delete(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if err := eventbus.NewPublisher(bus, retirements).Publish(t.Context(), retired{"c", 9}); err != nil {
			t.Fatal(err)
		}
		// The deletions come last in their partitions: once they are seen, so is
		// everything before them.
		await(t, v, "deletions", func() bool { return v.Status().Keys == 1 })
		want(t, v, map[string]int{"a": 0, "c": 0, "d": 6})
		if err := v.Health(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestEmptyTopic: Start has nothing to wait for, even if the topic is missing.
func TestEmptyTopic(t *testing.T) {
	on(t, func(t *testing.T, c *kafkatest.Cluster) {
		bus := c.Start(t)
		want(t, begin(t, bus, view.Config{}), map[string]int{"a": 0})
		p := eventbus.NewPublisher(bus, prices)
		publish(t, p, nil, price{"a", 1})
		if err := p.Delete(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		want(t, begin(t, bus, view.Config{}), map[string]int{"a": 0})
	})
}

// TestRecordsThatAreNoEvents: a key whose last record can't be decoded has an error
// and no older event, and the others work.
func TestRecordsThatAreNoEvents(t *testing.T) {
	on(t, func(t *testing.T, c *kafkatest.Cluster) {
		bus := c.Start(t)
		p := eventbus.NewPublisher(bus, prices)
		publish(t, p, nil, price{"a", 1}, price{"b", 2}, price{"c", 3})
		name := prices.In(c.Environment())
		c.Produce(t,
			transport.Record{Topic: name, Partition: transport.AnyPartition, Key: []byte("a"), Value: []byte("no event")},
			transport.Record{Topic: name, Partition: transport.AnyPartition, Key: []byte("b"), Value: []byte("{"), Headers: []transport.Header{
				{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_id", Value: []byte("1")}, {Key: "ce_source", Value: []byte("x")},
				{Key: "ce_type", Value: []byte(prices.Type())}, {Key: "content-type", Value: []byte("application/json")},
			}},
		)
		v := begin(t, bus, view.Config{})
		wantKeys(t, v, map[string]int{"c": 3})
		for _, key := range []string{"a", "b"} {
			_, found, err := v.Get(t.Context(), key)
			if err == nil || found || !strings.Contains(err.Error(), "the key's last record, "+name+"/") {
				t.Errorf("%s: %t, %v", key, found, err)
			}
		}
		if err := v.Range(t.Context(), func(string, price) error { return nil }); err == nil {
			t.Error("Range passes over what it can't decode")
		}
		publish(t, p, v, price{"a", 7}, price{"b", 8})
		want(t, v, map[string]int{"a": 7, "b": 8, "c": 3})
	})
}

// TestStartIsCancelled: the error says how far it came, and nothing is left behind.
func TestStartIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := kafkatest.NewMemory(t)
		bus := c.Start(t)
		publish(t, eventbus.NewPublisher(bus, prices), nil, price{"a", 1})
		reconnect := c.Disconnect(t)
		v, err := view.New(bus, prices, view.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := v.Get(t.Context(), "a"); !errors.Is(err, view.ErrNotReady) {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := v.Start(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "after 0 records") {
			t.Error(err)
		}
		if _, _, err := v.Get(t.Context(), "a"); !errors.Is(err, view.ErrClosed) {
			t.Error(err)
		}
		if err := v.Start(t.Context()); err == nil {
			t.Error("it starts twice")
		}
		reconnect()
	})
}

// TestDisconnected: a complete table goes on serving, and health says that it is old.
func TestDisconnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := kafkatest.NewMemory(t)
		bus := c.Start(t)
		p := eventbus.NewPublisher(bus, prices)
		publish(t, p, nil, price{"a", 1})
		v := begin(t, bus, view.Config{})
		reconnect := c.Disconnect(t)
		await(t, v, "error in Health", func() bool { return v.Health(t.Context()) != nil })
		want(t, v, map[string]int{"a": 1})
		reconnect()
		publish(t, p, v, price{"a", 2})
		await(t, v, "good health", func() bool { return v.Health(t.Context()) == nil })
		want(t, v, map[string]int{"a": 2})
	})
}

// TestOutgrown: a view that exceeds MaxBytes fails at once, with an error that says
// so.
func TestOutgrown(t *testing.T) {
	on(t, func(t *testing.T, c *kafkatest.Cluster) {
		bus := c.Start(t)
		p := eventbus.NewPublisher(bus, prices)
		for i := range 20 {
			publish(t, p, nil, price{fmt.Sprint("sku-", i), i + 1})
		}
		v, err := view.New(bus, prices, view.Config{MaxBytes: 2000})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Start(t.Context()); !errors.Is(err, view.ErrOutgrown) || !strings.Contains(err.Error(), "MaxBytes is 2000") {
			t.Fatal(err)
		}

		grown := begin(t, bus, view.Config{MaxBytes: 20_000})
		var failure error
		for i := 20; failure == nil && i < 1000; i++ {
			failure = grown.WaitFor(t.Context(), p.PublishAsync(t.Context(), price{fmt.Sprint("sku-", i), i}))
		}
		if !errors.Is(failure, view.ErrOutgrown) {
			t.Fatal(failure)
		}
		if _, _, err := grown.Get(t.Context(), "sku-1"); !errors.Is(err, view.ErrOutgrown) {
			t.Error(err)
		}
		if s := grown.Status(); s.Phase != view.Failed || s.Err == nil {
			t.Errorf("%+v", s)
		}
	})
}

// TestMisuse: New reports every mistake that can be found without the cluster.
func TestMisuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := kafkatest.NewMemory(t).Bus(t)
		_, err := view.New(bus, orders, view.Config{MaxBytes: -1, RefreshInterval: -1})
		for _, part := range []string{"order", "not declared Compacted", "MaxBytes is negative", "RefreshInterval is negative"} {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("no %q in: %v", part, err)
			}
		}
		if _, err := view.New[price](nil, nil, view.Config{}); err == nil {
			t.Error("nil is accepted")
		}
		v, err := view.New(bus, prices, view.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(v.Close(t.Context()), v.Close(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

// TestNotCompactedOnTheCluster: a topic that the cluster doesn't compact is refused,
// whatever its declaration says.
func TestNotCompactedOnTheCluster(t *testing.T) {
	on(t, func(t *testing.T, c *kafkatest.Cluster) {
		bus := c.Start(t)
		admin := c.Transport().Admin()
		spec := transport.TopicSpec{Name: prices.In(c.Environment()), Partitions: 3, Replication: 1, Configs: map[string]string{"cleanup.policy": "delete"}}
		if err := admin.CreateTopics(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		v, err := view.New(bus, prices, view.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "cleanup.policy=delete") {
			t.Error(err)
		}
	})
}

// TestMissingTopic: if the bus may not create topics, a missing one is an error at
// once.
func TestMissingTopic(t *testing.T) {
	on(t, func(t *testing.T, c *kafkatest.Cluster) {
		bus := c.Bus(t, func(config *eventbus.Config) { config.AutoProvision = eventbus.ProvisionNever })
		v, err := view.New(bus, prices, view.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Start(t.Context()); !errors.Is(err, eventbus.ErrTopicMissing) {
			t.Error(err)
		}
	})
}
