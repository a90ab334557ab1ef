package redrive_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/resilience"
	"github.com/eventbus-go/eventbus/transport"
)

var returns = eventbus.NewTopic(eventbus.TopicConfig[order]{
	Domain: "shop", Name: "returns", Partitions: 2, Key: func(o order) string { return o.ID },
})

// TestChosenNames: letters of two topics and two groups in one dead-letter topic come back
// only to the group that failed, through the retry topic that each names.
func TestChosenNames(t *testing.T) {
	body := func(t *testing.T, c *kafkatest.Cluster) {
		var mended atomic.Bool
		came := make(chan string, 100)
		fails := func(group string) func(context.Context, order) error {
			return func(_ context.Context, o order) error {
				if !mended.Load() {
					return errors.New("broken")
				}
				came <- group + " " + o.ID
				return nil
			}
		}
		once := eventbus.Retry(resilience.Retry{Attempts: 1})
		dead, retry := eventbus.DeadLetterTopic("{env}.failures"), eventbus.RetryTopic("{topic}-again")
		c.Start(t,
			eventbus.On(orders, fails("billing"), eventbus.Group("billing"), once, dead, retry),
			eventbus.On(orders, func(_ context.Context, o order) error { came <- "audit " + o.ID; return nil }, eventbus.Group("audit"), once, dead, retry),
			eventbus.On(returns, fails("stock"), eventbus.Group("stock"), once, dead, retry),
		)
		for _, id := range []string{"a", "b", "c"} {
			kafkatest.Publish(t, c, orders, order{id, 1})
		}
		kafkatest.Publish(t, c, returns, order{"r", 1})
		c.Settle(t)
		kafkatest.DeadLettered(t, c, returns, order{"r", 1})
		if n := len(kafkatest.DeadLettered(t, c, orders)); n != 3 {
			t.Fatalf("%d letters of orders", n)
		}
		for range 3 {
			<-came // audit's
		}
		cluster := kafka.New(kafka.Config{Brokers: c.Brokers()})
		t.Cleanup(func() { _ = cluster.Close(context.Background()) })
		client := redrive.New(cluster, redrive.Config{Who: "ann@desk", Create: true})
		env, _, _ := strings.Cut(orders.In(c.Environment()), ".")
		box := env + ".failures"
		listed := func(known ...string) bool {
			names, err := client.Topics(t.Context(), known...)
			if err != nil {
				t.Fatal(err)
			}
			return slices.Contains(names, box)
		}
		if listed() || !listed(box) {
			t.Error("a name that was chosen is found before it is known, or not where it is")
		}
		forged := transport.Record{Topic: box, Key: []byte("f"), Value: []byte("{}"), Headers: []transport.Header{
			{Key: letter.Topic, Value: []byte(orders.In(c.Environment()))}, {Key: letter.Group, Value: []byte("billing")},
			{Key: letter.Retry, Value: []byte(returns.In(c.Environment()))},
		}}
		replay := redrive.Order{Topic: box, Who: "ann@desk", Why: "mended"}
		would, err := client.Plan(t.Context(), replay, nil)
		want := []string{orders.In(c.Environment()) + "-again", returns.In(c.Environment()) + "-again"}
		if err != nil || would.Tally.Replayed != 4 || !slices.Equal(would.Through, want) {
			t.Fatalf("%+v, %v", would, err)
		}
		through := would.Through
		// Letters that can't come back don't hold up others: through a topic that is gone,
		// one with too few partitions, or the one that the event was read from.
		gone, small, source := forged, forged, forged
		gone.Headers = named(forged.Headers, env+".gone")
		small.Partition, small.Headers = 1, named(forged.Headers, env+".small")
		source.Headers = append(named(forged.Headers, orders.In(c.Environment())), transport.Header{Key: letter.OriginTopic, Value: []byte("other")})
		if err := cluster.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name: env + ".small", Partitions: 1, Replication: 1}); err != nil {
			t.Fatal(err)
		}
		(&pile{cluster: cluster}).produce(t, forged, gone, small, source)
		known := func(topic string) bool {
			return slices.Contains(through, topic) || topic == env+".gone" || topic == env+".small"
		}
		would, err = client.Plan(t.Context(), replay, known)
		if alone := []string{env + ".gone", returns.In(c.Environment()), env + ".small"}; err != nil || would.Tally.Replayed != 4 || would.Tally.Foreign != 4 ||
			!slices.Equal(would.Through, through) || !slices.Equal(would.Alone, alone) {
			t.Fatalf("%+v, %v; want %q left alone", would, err, alone)
		}
		for n := range 99 {
			replay.Through = append(replay.Through, fmt.Sprint("other-", n))
		}
		// The derived name has no effect.
		replay.Topic, replay.Through = orders.In(c.Environment())+".x.dlq", append(replay.Through, "other", orders.In(c.Environment())+".x.retry")
		if _, err := client.Start(t.Context(), replay, redrive.Run{}); !errors.Is(err, transport.ErrTopicMissing) || strings.Contains(err.Error(), "too many") {
			t.Errorf("%v, want ErrTopicMissing", err)
		}
		replay.Topic, replay.Through = box, nil
		mended.Store(true)
		// The order doesn't name these topics.
		if j, err := client.Start(t.Context(), replay, redrive.Run{}); err != nil || j.Done.Replayed != 0 || j.Done.Foreign != 8 {
			t.Fatalf("%+v, %v", j.Done, err)
		}
		replay.Through = append(through, env+".gone", env+".small", orders.In(c.Environment()))
		if j, err := client.Start(t.Context(), replay, redrive.Run{}); err != nil || j.Done.Replayed != 4 || j.Done.Foreign != 4 {
			t.Fatalf("%+v, %v", j.Done, err)
		}
		var got []string
		for range 4 {
			got = append(got, <-came)
		}
		c.Settle(t)
		slices.Sort(got)
		if want := []string{"billing a", "billing b", "billing c", "stock r"}; !slices.Equal(got, want) || len(came) > 0 {
			t.Errorf("%q came back, and %d more; want %q", got, len(came), want)
		}
		if !listed() {
			t.Error("what was decided about is not listed")
		}
		// A topic of events has no letters.
		purge := redrive.Order{Topic: orders.In(c.Environment()), Action: redrive.Purge, IncludingOpen: true, Who: "ann@desk", Why: "a slip"}
		if _, err := client.Start(t.Context(), purge, redrive.Run{}); !errors.Is(err, redrive.ErrNoBox) {
			t.Errorf("%v, want ErrNoBox", err)
		}
		if n := len(kafkatest.Published(t, c, orders)); n != 3 {
			t.Errorf("%d events are left", n)
		}
	}
	t.Run("Broker", func(t *testing.T) { body(t, kafkatest.NewBroker(t)) })
	t.Run("Kafka", func(t *testing.T) { body(t, kafkatest.Open(t)) })
}

// named returns the headers of a letter with another retry topic.
func named(headers []transport.Header, retry string) []transport.Header {
	headers = slices.Clone(headers)
	headers[slices.IndexFunc(headers, func(h transport.Header) bool { return h.Key == letter.Retry })].Value = []byte(retry)
	return headers
}
