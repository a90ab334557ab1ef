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
	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/format"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// broken is a handler that fails until it is repaired.
type broken struct {
	story
	mended bool
}

func (b *broken) handle(ctx context.Context, o order) error {
	if !b.mended {
		return eventbus.Permanent(errors.New("broken"))
	}
	e, _ := eventbus.EnvelopeFrom(ctx)
	b.add("%s%d/%d from %s@%d", o.ID, o.Seq, e.Redeliveries, e.Origin.Topic, e.Origin.Offset)
	return nil
}

// TestChosenLetterTopics: letters go to the topics that were chosen, and come back only
// to the group that failed, although another group shares both topics.
func TestChosenLetterTopics(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		c := config()
		c.Handling = append(c.Handling, eventbus.DeadLetterTopic("{env}-dlt"), eventbus.RetryTopic("{topic}-retry"))
		bus, topic := newBus(t, cluster, c), orders(t)
		other := eventbus.NewTopic(eventbus.TopicConfig[order]{Domain: "sales", Name: "other", Partitions: 5, Key: func(o order) string { return o.ID }})
		var mailer, audit, others broken
		audit.mended = true
		must(t, bus.Add(
			eventbus.On(topic, mailer.handle, eventbus.Group("mailer")),
			eventbus.On(topic, audit.handle, eventbus.Group("audit")),
			eventbus.On(other, others.handle, eventbus.Group("mailer")),
		))
		start(t, bus)
		const dead, retry, otherRetry = "test-dlt", ordersName + "-retry", "test.sales.public.other.v1-retry"
		names := cluster.Topics()
		slices.Sort(names)
		if want := []string{dead, "test.sales.public.orders.v1", retry, "test.sales.public.other.v1", otherRetry}; !slices.Equal(names, want) {
			t.Errorf("topics %q, want %q", names, want)
		}
		must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"a", 1}))
		must(t, eventbus.NewPublisher(bus, other).Publish(t.Context(), order{"b", 2}))
		pass(time.Minute)
		records := cluster.Records(dead)
		if len(records) != 2 {
			t.Fatalf("%d dead letters", len(records))
		}
		mailer.mended, others.mended = true, true
		for i := range records {
			l, err := letter.Read(&records[i])
			want := map[string]string{ordersName: retry, "test.sales.public.other.v1": otherRetry}[l.Source.Topic]
			if err != nil || !l.Named || l.Retry != want || l.Group != "mailer" {
				t.Errorf("%+v, %v; want retry topic %s", l, err, want)
			}
			again := l.Again()
			write(t, cluster, &again)
		}
		pass(time.Minute)
		for name, c := range map[string]struct {
			of   *broken
			want string
		}{
			"mailer": {&mailer, "a1/1 from " + ordersName + "@0"}, "audit": {&audit, "a1/0 from @0"},
			"others": {&others, "b2/1 from test.sales.public.other.v1@0"},
		} {
			if got := c.of.String(); got != c.want {
				t.Errorf("%s handled %q, want %q", name, got, c.want)
			}
		}
		document, err := catalog.OfBus(bus)
		must(t, err)
		for i := range document.Topics {
			topic := &document.Topics[i]
			d, r, err := topic.LetterTopics("Test", "mailer")
			name, _ := topic.In("Test")
			if err != nil || d != dead || r != name+"-retry" {
				t.Errorf("catalogue: %s, %s, %v", d, r, err)
			}
		}
		closeBus(t, bus)
	})
}

// TestChosenAgainAfterFailure: an event that came back through a shared topic and fails
// once more goes to the same group again.
func TestChosenAgainAfterFailure(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		var mailer broken
		must(t, eventbus.Subscribe(bus, topic, mailer.handle, eventbus.Group("mailer"), eventbus.RetryTopic("again")))
		start(t, bus)
		must(t, eventbus.NewPublisher(bus, topic).Publish(t.Context(), order{"a", 1}))
		pass(time.Minute)
		for times := range 3 {
			records := cluster.Records(ordersName + ".mailer.dlq")
			if len(records) != times+1 {
				t.Fatalf("%d letters, want %d", len(records), times+1)
			}
			l, err := letter.Read(&records[times])
			must(t, err)
			again := l.Again()
			groups := 0
			for _, h := range again.Headers {
				if h.Key == letter.RedeliveryGroup {
					groups++
				}
			}
			if l.Redeliveries != times || l.Origin.Topic != ordersName || again.Topic != "again" || groups != 1 || again.Headers[0].Key != letter.RedeliveryGroup {
				t.Errorf("%+v back to %s, %d groups", l, again.Topic, groups)
			}
			mailer.mended = times == 2
			write(t, cluster, &again)
			pass(time.Minute)
		}
		if got := mailer.String(); got != "a1/3 from "+ordersName+"@0" {
			t.Errorf("handled %q", got)
		}
		closeBus(t, bus)
	})
}

// TestChosenLettersOfForeignRecords: an event without an id gets one from the position
// where it was first read, whatever the retry topic's name.
func TestChosenLettersOfForeignRecords(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus := newBus(t, cluster, config())
		plain := eventbus.NewTopic(eventbus.TopicConfig[order]{Address: "legacy", Create: true, Partitions: 1, Format: format.Plain(format.PlainConfig{})})
		var ids []string
		fail := true
		must(t, eventbus.Subscribe(bus, plain, func(ctx context.Context, _ order) error {
			e, _ := eventbus.EnvelopeFrom(ctx)
			ids = append(ids, e.ID)
			if fail {
				return eventbus.Permanent(errors.New("broken"))
			}
			return nil
		}, eventbus.DeadLetterTopic("legacy-error"), eventbus.RetryTopic("legacy-again")))
		start(t, bus)
		write(t, cluster, &transport.Record{Topic: "legacy", Value: []byte(`{"ID":"a"}`)})
		pass(time.Minute)
		fail = false
		dead := cluster.Records("legacy-error")
		l, err := letter.Read(&dead[0])
		must(t, err)
		again := l.Again()
		write(t, cluster, &again)
		pass(time.Minute)
		if len(ids) != 2 || ids[0] != ids[1] || !strings.HasPrefix(ids[0], "legacy/0@0") {
			t.Errorf("ids %q", ids)
		}
		closeBus(t, bus)
	})
}

// TestChosenLettersRefused: every invalid name is refused by Add, and the subscription
// can be added again with others.
func TestChosenLettersRefused(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus, topic := newBus(t, cluster, config()), orders(t)
		other := eventbus.NewTopic(eventbus.TopicConfig[order]{Domain: "sales", Name: "other"})
		alerts := eventbus.NewTopic(eventbus.TopicConfig[order]{Address: "{env}-dlt"})
		handler := func(context.Context, order) error { return nil }
		dead, retry := eventbus.DeadLetterTopic, eventbus.RetryTopic
		must(t, bus.Add(eventbus.On(topic, handler, eventbus.Group("first"), dead("test-dlt"), retry("again"))))
		for _, c := range []struct {
			of    *eventbus.Topic[order]
			group string
			with  []eventbus.SubscribeOption
			texts []string
		}{
			{topic, "g", []eventbus.SubscribeOption{dead(""), retry("a b")}, []string{"DeadLetterTopic(\"\"): the name is empty: leave the option out, or write the derived one, {topic}.{group}.dlq", `RetryTopic("a b"): topic name "a b" has the character ' '`}},
			{topic, "g", []eventbus.SubscribeOption{eventbus.WhenUnknown(9)}, []string{"WhenUnknown(9): use SkipUnknown"}},
			{topic, "g", []eventbus.SubscribeOption{dead("{service}-x")}, []string{"the marks are {env}, {topic} and {group}"}},
			{topic, "g", []eventbus.SubscribeOption{dead("x"), retry("x")}, []string{"choose two names"}},
			{topic, "g", []eventbus.SubscribeOption{dead("{topic}"), retry("{topic}")}, []string{"choose two names", "dead-letter topic " + ordersName, "retry topic " + ordersName, "is a topic of events"}},
			{other, "g", []eventbus.SubscribeOption{dead(ordersName)}, []string{ordersName + ` of group "g"`, "is a topic of events"}},
			{other, "g", []eventbus.SubscribeOption{retry("again")}, []string{`retry topic again of group "g"`, `is that of group "first"`, "a single topic"}},
			{topic, "g", []eventbus.SubscribeOption{dead("again")}, []string{`is the retry topic of group "first"`}},
			{topic, "g", []eventbus.SubscribeOption{retry("test-dlt")}, []string{`is the dead-letter topic of group "first"`}},
			{topic, "g", []eventbus.SubscribeOption{dead("test_dlt.a"), retry("test.dlt_a")}, []string{"only in '.' and '_'"}},
			{topic, "g", []eventbus.SubscribeOption{dead("prod.dlt")}, []string{"one of the environment prod", "write {env}"}},
			{topic, "first", []eventbus.SubscribeOption{dead("another")}, []string{`group "first" handles`}},
			{alerts, "g", nil, []string{"is for the failures of group \"first\""}},
		} {
			wantError(t, eventbus.Subscribe(bus, c.of, handler, append(c.with, eventbus.Group(c.group))...), nil, c.texts...)
		}
		// Two that were not chosen by both can't be shared.
		must(t, eventbus.Subscribe(bus, topic, handler, eventbus.Group("derived")))
		wantError(t, eventbus.Subscribe(bus, topic, handler, eventbus.Group("g"), retry("{topic}.derived.retry")), nil, "both have to choose it")
		// Subscriptions of one topic and group agree.
		deleted := func(context.Context, string) error { return nil }
		wantError(t, bus.Add(eventbus.OnDelete(topic, deleted, eventbus.Group("first"), dead("another"))), nil, "DeadLetterTopic is test-dlt", "another")
		must(t, bus.Add(eventbus.OnDelete(topic, deleted, eventbus.Group("first"), retry("again"))))
		must(t, eventbus.Subscribe(bus, topic, handler, eventbus.Group("g"), dead("{topic}.{group}.dlq"), retry("again")))
		start(t, bus)
		closeBus(t, bus)
	})
}

// TestChosenLettersMissing: a bus that may not create topics names all that are
// missing at once, and starts without its retry topics, whatever these are called.
func TestChosenLettersMissing(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		c := config()
		c.Environment, c.AutoProvision = "Production", eventbus.ProvisionNever
		add := func(bus *eventbus.Bus) {
			must(t, eventbus.Subscribe(bus, orders(t), func(context.Context, order) error { return nil }, eventbus.DeadLetterTopic("dead"), eventbus.RetryTopic("again")))
		}
		bus := newBus(t, cluster, c)
		add(bus)
		wantError(t, bus.Start(t.Context()), eventbus.ErrTopicMissing, "prod.sales.public.orders.v1, dead, again")
		closeBus(t, bus)
		cluster = memory.New()
		spec := transport.TopicSpec{Partitions: 1, Replication: 1}
		for _, name := range []string{"prod.sales.public.orders.v1", "dead"} {
			spec.Name = name
			must(t, cluster.Admin().CreateTopics(t.Context(), spec))
		}
		bus = newBus(t, cluster, c)
		add(bus)
		start(t, bus)
		closeBus(t, bus)
	})
}

// TestSharedDeadLetterTopicIsLargeEnough: a shared topic has as many partitions as the
// largest of its sources, and accepts the largest record of any.
func TestSharedDeadLetterTopicIsLargeEnough(t *testing.T) {
	run(t, func(t *testing.T, cluster *memory.Cluster) {
		bus := newBus(t, cluster, config())
		for n, size := range []string{"2000000", "4000000", "3000000"} {
			topic := eventbus.NewTopic(eventbus.TopicConfig[order]{
				Domain: "sales", Name: fmt.Sprint("t", n), Partitions: int32(8 - 2*n), Configs: map[string]string{"max.message.bytes": size},
			})
			must(t, eventbus.Subscribe(bus, topic, func(context.Context, order) error { return nil }, eventbus.DeadLetterTopic("dead")))
		}
		start(t, bus)
		infos, err := cluster.Admin().Topics(t.Context(), "dead")
		must(t, err)
		if infos[0].Partitions != 8 || infos[0].Configs["max.message.bytes"] != "4065536" {
			t.Errorf("%+v", infos[0])
		}
		closeBus(t, bus)
	})
}
