package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// TestReplayOnBrokers does the same over the Kafka protocol.
func TestReplayOnBrokers(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *kafkatest.Cluster{
		"InProcess": kafkatest.NewBroker,
		"Kafka":     func(t testing.TB) *kafkatest.Cluster { return kafkatest.Open(t) },
	} {
		t.Run(name, func(t *testing.T) {
			if name == "Kafka" && os.Getenv(kafkatest.BrokersVariable) == "" {
				t.Skipf("%s names no brokers", kafkatest.BrokersVariable)
			}
			testReplayOnBroker(t, open(t))
		})
	}
}

func testReplayOnBroker(t *testing.T, cluster *kafkatest.Cluster) {
	const keys, each = 20, 50
	topic := orders(t)
	var mu sync.Mutex
	live, again := make(map[string]int), make(map[string]int)
	subscription := eventbus.On(topic, func(ctx context.Context, o order) error {
		mu.Lock()
		defer mu.Unlock()
		d, _ := eventbus.DeliveryFrom(ctx)
		next := live
		if d.Replay {
			next = again
		}
		if next[o.ID] != o.Seq {
			t.Errorf("replay %t: event %d of key %s came in the place of %d", d.Replay, o.Seq, o.ID, next[o.ID])
		}
		next[o.ID]++
		if d.Replay && o.Seq == each-1 && o.ID == "k0" {
			return eventbus.Permanent(errors.New("poison"))
		}
		return nil
	})
	bus := cluster.Start(t, subscription)
	var events []order
	for n := range each {
		for k := range keys {
			events = append(events, order{fmt.Sprintf("k%d", k), n})
		}
	}
	kafkatest.Publish(t, cluster, topic, events...)
	cluster.Settle(t)
	full, group := topic.In(cluster.Environment()), ""
	for check := range bus.Health(t.Context()).Checks {
		if name, ok := strings.CutPrefix(check, "group "); ok {
			group = name
		}
	}
	committed := func() map[transport.Partition]int64 {
		commits, err := cluster.Transport().Admin().Committed(t.Context(), group, full)
		must(t, err)
		offsets := make(map[transport.Partition]int64)
		for p, c := range commits {
			offsets[p] = c.Offset
		}
		return offsets
	}
	before := committed()
	for deadline := time.Now().Add(30 * time.Second); total(before) < keys*each; before = committed() {
		if time.Now().After(deadline) {
			t.Fatalf("the live group has committed %v only", before)
		}
		<-time.After(20 * time.Millisecond) // nothing signals a commit
	}

	dry, err := bus.Operator().Replay(t.Context(), eventbus.ReplayConfig{DryRun: true}, subscription)
	must(t, err)
	if dry.Events() != keys*each || len(again) > 0 {
		t.Errorf("the dry run counted %d of %d events, and handled %v", dry.Events(), keys*each, again)
	}
	report, err := bus.Operator().Replay(t.Context(), eventbus.ReplayConfig{}, subscription)
	must(t, err)
	if report.Handled() != keys*each-1 || report.Failed() != 1 {
		t.Errorf("the report is %+v", report)
	}
	if after := committed(); !maps.Equal(before, after) {
		t.Errorf("the live group committed %v before the replay, and %v after", before, after)
	}
	kafkatest.Publish(t, cluster, topic, order{"k0", each})
	cluster.Settle(t)
	if live["k0"] != each+1 {
		t.Errorf("the live group handled %d events of a key, want %d", live["k0"], each+1)
	}
}

func total(offsets map[transport.Partition]int64) (n int64) {
	for _, offset := range offsets {
		n += offset
	}
	return n
}

// TestReplayRemoved: events that retention removes meanwhile are counted, and the
// rest is handled.
func TestReplayRemoved(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		must(t, cluster.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: ordersName, Partitions: 1}))
		listed(t, bus, topic, order{"a", 0}, order{"a", 1}, order{"a", 2}, order{"a", 3})
		release, err := cluster.HoldFetches(ordersName, 0)
		must(t, err)
		var s story
		ended := make(chan eventbus.ReplayReport, 1)
		go func() {
			report, err := bus.Operator().Replay(t.Context(), eventbus.ReplayConfig{}, eventbus.On(topic, noting(&s)))
			if err != nil {
				t.Error(err)
			}
			ended <- report
		}()
		synctest.Wait()
		must(t, cluster.DeleteRecords(ordersName, 0, 3))
		release()
		report := <-ended
		if p := report.Partitions[0]; s.String() != "~a3" || p.Removed != 3 || p.Next != 4 || p.Handled != 1 {
			t.Errorf("handled %s, %+v", &s, p)
		}
		closeBus(t, bus)
	})
}

// TestReplayTopicGone: deleting the topic meanwhile ends the replay.
func TestReplayTopicGone(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		subscription := eventbus.On(topic, noting(&story{}))
		if _, err := bus.Operator().Replay(t.Context(), eventbus.ReplayConfig{}, subscription); !errors.Is(err, eventbus.ErrTopicMissing) {
			t.Errorf("without a topic: %v, want ErrTopicMissing", err)
		}
		must(t, cluster.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: ordersName, Partitions: 1}))
		listed(t, bus, topic, order{"a", 0})
		_, err := cluster.HoldFetches(ordersName, 0)
		must(t, err)
		ended := make(chan error, 1)
		go func() {
			_, err := bus.Operator().Replay(t.Context(), eventbus.ReplayConfig{}, subscription)
			ended <- err
		}()
		synctest.Wait()
		must(t, cluster.DeleteTopic(ordersName))
		if err := <-ended; !errors.Is(err, eventbus.ErrTopicMissing) {
			t.Errorf("the topic was deleted: %v, want ErrTopicMissing", err)
		}
		closeBus(t, bus)
	})
}

// TestReplayRefuses: a replay that can't work is refused before anything is read.
func TestReplayRefuses(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		must(t, cluster.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: ordersName, Partitions: 1}))
		on := eventbus.On(topic, noting(&story{}))
		now := map[transport.Partition]int64{{Topic: "elsewhere"}: 1}
		for _, c := range []struct {
			config        eventbus.ReplayConfig
			subscriptions []eventbus.Subscription
			want          string
		}{
			{eventbus.ReplayConfig{}, nil, "no subscription"},
			{eventbus.ReplayConfig{}, []eventbus.Subscription{{}}, "zero Subscription"},
			{eventbus.ReplayConfig{}, []eventbus.Subscription{on, on}, "handles sales.public.orders.v1 order already"},
			{eventbus.ReplayConfig{}, []eventbus.Subscription{on, eventbus.OnDelete(topic, func(context.Context, string) error { return nil }, eventbus.Group("other"))}, "one group at a time"},
			{eventbus.ReplayConfig{Types: []string{"ordre"}}, []eventbus.Subscription{on}, `"ordre"`},
			{eventbus.ReplayConfig{FromOffsets: now}, []eventbus.Subscription{on}, "elsewhere/0"},
			{eventbus.ReplayConfig{MaxFailures: -1}, []eventbus.Subscription{on}, "MaxFailures"},
			{eventbus.ReplayConfig{From: time.Unix(2, 0), To: time.Unix(1, 0)}, []eventbus.Subscription{on}, "before it begins"},
		} {
			report, err := bus.Operator().Replay(t.Context(), c.config, c.subscriptions...)
			var e *eventbus.Error
			if !errors.As(err, &e) || e.Op != "replay" || !strings.Contains(err.Error(), c.want) || len(report.Partitions) > 0 {
				t.Errorf("%+v: %v, want one about %q", c.config, err, c.want)
			}
		}
		closeBus(t, bus)
	})
}

// TestReplayOutlivesRetention: a replay ends although retention removes the rest of
// its window before it gets there.
func TestReplayOutlivesRetention(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		var s story
		subscription := eventbus.On(topic, noting(&s))
		must(t, bus.Add(subscription))
		start(t, bus)
		listed(t, bus, topic, order{"a", 0}, order{"a", 1}, order{"a", 2})
		var releases []func()
		for p := range int32(3) {
			release, err := cluster.HoldFetches(topic.In("Test"), p)
			must(t, err)
			releases = append(releases, release)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		go func() {
			pass(time.Second)
			for p := range int32(3) {
				for end := int64(3); end > 0 && cluster.DeleteRecords(topic.In("Test"), p, end) != nil; end-- {
				}
			}
			for _, release := range releases {
				release()
			}
		}()
		if report, err := bus.Operator().Replay(ctx, eventbus.ReplayConfig{}, subscription); err != nil {
			t.Errorf("%+v, %v", report, err)
		}
		closeBus(t, bus)
	})
}
