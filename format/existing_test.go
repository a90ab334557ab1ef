package format_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/format"
	"github.com/eventbus-go/eventbus/inbox"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// TestExistingUnfit: records that don't fit the format are dead-lettered unchanged,
// and the records behind them are handled.
func TestExistingUnfit(t *testing.T) {
	c := kafkatest.NewMemory(t)
	topic := existing(format.Wolverine(), "OrderPlaced")
	c.Start(t, eventbus.On(topic, func(context.Context, Order) error { return nil }))
	good := headers("id", "018f7a3e-6c5b-7000-8000-0242ac120002", "message-type", "OrderPlaced")
	unfit := map[string]transport.Record{
		"malformed":   {Value: []byte("\x00\xff not JSON"), Headers: headers("other", "\xff\x00")},
		"undecodable": {Value: []byte(`[`), Headers: good},
	}
	for _, r := range unfit {
		r.Topic, r.Key, r.Partition = "shop-orders", []byte("o-1"), -1
		c.Produce(t, r)
	}
	c.Produce(t, transport.Record{Topic: "shop-orders", Key: []byte("o-1"), Partition: -1, Value: []byte(`{"id":"o-1"}`), Headers: good})
	c.Settle(t)
	kafkatest.Handled(t, c, topic, Order{ID: "o-1"})
	letters := kafkatest.DeadLettered(t, c, topic)
	if len(letters) != len(unfit) {
		t.Fatalf("%d dead letters, want %d", len(letters), len(unfit))
	}
	for _, l := range letters {
		was, ok := unfit[l.Reason]
		if !ok || !bytes.Equal(l.Record.Value, was.Value) || string(l.Record.Key) != "o-1" {
			t.Errorf("the dead letter for %q has the value %q and key %q", l.Reason, l.Record.Value, l.Record.Key)
		}
		for i, h := range was.Headers {
			if got := l.Record.Headers[i]; got.Key != h.Key || !bytes.Equal(got.Value, h.Value) {
				t.Errorf("header %d of the dead letter is %q, want %q", i, got, h)
			}
		}
		if l.Reason == "malformed" && !strings.Contains(l.Error, "message-type") {
			t.Errorf("the error names no header: %s", l.Error)
		}
	}
}

// TestExistingIdentity: an event without an id gets the same one at each attempt, when
// its dead letter comes back and in a replay, so that an inbox lets it through once.
// The id contains the timestamp, so that the positions of a recreated topic get other
// ids, unless the timestamp is one that no header of a dead letter can hold.
func TestExistingIdentity(t *testing.T) {
	t.Run("a time", func(t *testing.T) { identity(t, time.UnixMilli(1_764_206_000_123).UTC(), "-1764206000123 2025-11-27T") })
	t.Run("nanoseconds taken for milliseconds", func(t *testing.T) { identity(t, time.UnixMilli(1_764_206_000_123_456_789).UTC(), "@0 0001-01-01T") })
}

func identity(t *testing.T, at time.Time, want string) {
	c := kafkatest.NewMemory(t)
	topic := existing(format.Plain(format.PlainConfig{}), "")
	var ids []string
	fail := true
	handler := func(ctx context.Context, _ Order) error {
		e, _ := eventbus.EnvelopeFrom(ctx)
		ids = append(ids, e.ID+" "+e.Time.Format(time.RFC3339Nano))
		if fail {
			return eventbus.Permanent(errors.New("not today"))
		}
		return nil
	}
	handled := eventbus.On(topic, handler, eventbus.Use(eventbus.Idempotent(inbox.Memory(100))))
	bus := c.Start(t, handled)
	produce := func() {
		c.Produce(t, transport.Record{Topic: "shop-orders", Partition: -1, Key: []byte("o-1"), Value: []byte(`{"id":"o-1"}`), Time: at})
	}
	produce()
	c.Settle(t)
	for range 2 { // the second is a dead letter of a redelivered event
		kafkatest.Redeliver(t, c, topic)
		c.Settle(t)
	}
	fail = false
	kafkatest.Redeliver(t, c, topic)
	c.Settle(t)
	if _, err := bus.Operator().Replay(t.Context(), eventbus.ReplayConfig{}, eventbus.On(topic, handler)); err != nil {
		t.Fatal(err)
	}
	if len(ids) != 5 {
		t.Errorf("it was handled %d times, want 5", len(ids))
	}
	if len(slices.Compact(slices.Clone(ids))) != 1 {
		t.Errorf("its ids and times differ: %q", ids)
	}
	if !strings.Contains(ids[0], want) {
		t.Errorf("its id and time are %q, want %q", ids[0], want)
	}
}

// TestExistingOutbox: a bus that does not know the topic publishes an envelope, as a
// relay does, in the topic's format and to the partition of the topic's partitioner.
func TestExistingOutbox(t *testing.T) {
	c := kafkatest.NewMemory(t)
	topic := eventbus.NewTopic(eventbus.TopicConfig[Order]{
		Address: "shop-orders", Create: true, Partitions: 12, Format: format.Watermill(), Partitioner: eventbus.FNV1a(),
	})
	service, relay := c.Bus(t), c.Bus(t, func(c *eventbus.Config) { c.Service = "relay" })
	orders := eventbus.NewPublisher(service, topic)
	if err := orders.Publish(t.Context(), Order{"o-1", 1}); err != nil {
		t.Fatal(err)
	}
	e, err := orders.Envelope(t.Context(), Order{"o-1", 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := relay.PublishEnvelope(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	tx, err := relay.NewTransactor(t.Context(), "relay")
	if err == nil {
		err = tx.Publish(t.Context(), []*eventbus.Envelope{e})
	} else if strings.Contains(err.Error(), "has no transactions") {
		err = relay.PublishEnvelopes(t.Context(), []*eventbus.Envelope{e})
	}
	if err != nil {
		t.Fatal(err)
	}
	records := c.Memory().Records("shop-orders")
	if len(records) != 3 {
		t.Fatalf("%d records, want 3", len(records))
	}
	for _, r := range records {
		if want := eventbus.FNV1a().Of([]byte("o-1"), 12); r.Partition != want {
			t.Errorf("%s is in partition %d, want %d", r.Value, r.Partition, want)
		}
		if _, ok := r.Header("_watermill_message_uuid"); !ok {
			t.Errorf("%s has no id of Watermill's", r.Value)
		}
	}
	kafkatest.Published(t, c, topic, Order{"o-1", 1}, Order{"o-1", 2}, Order{"o-1", 2})
}

// TestExistingAddress: addresses are used as they are, each in its environment.
func TestExistingAddress(t *testing.T) {
	declare := func(c eventbus.TopicConfig[Order]) *eventbus.Topic[Order] { return eventbus.NewTopic(c) }
	orders := declare(eventbus.TopicConfig[Order]{Address: "Shop_Orders"})
	byEnv := declare(eventbus.TopicConfig[Order]{Address: "orders-{env}", Addresses: map[string]string{"prod": "orders"}})
	for _, c := range []struct {
		topic     *eventbus.Topic[Order]
		env, want string
	}{{orders, "Production", "Shop_Orders"}, {byEnv, "Development", "orders-dev"}, {byEnv, "Production", "orders"}} {
		if got := c.topic.In(c.env); got != c.want {
			t.Errorf("in %s it is %s, want %s", c.env, got, c.want)
		}
	}
	for fault, c := range map[string]eventbus.TopicConfig[Order]{
		"remove Domain":      {Address: "orders", Domain: "sales", Name: "order"},
		"Kafka refuses":      {Address: "orders/new"},
		"write its segment":  {Address: "orders", Addresses: map[string]string{"Production": "orders"}},
		"with an Address":    {Domain: "sales", Name: "order", Create: true},
		"name of its own":    {Address: "orders", Partitioner: eventbus.PartitionBy("crc32", func([]byte, int32) int32 { return 0 })},
		"can't be compared":  {Address: "orders", Format: uncomparable{nil}},
		"can't be compared:": {Address: "orders", Format: holding{Format: uncomparable{nil}}},
		"250 characters":     {Address: strings.Repeat("a", 250)},
		"has no function":    {Address: "orders", Partitioner: eventbus.PartitionBy("mine", nil)},
		"for prod a name":    {Address: "orders", Addresses: map[string]string{"prod": "a b"}},
	} {
		func() {
			defer func() {
				if v := fmt.Sprint(recover()); !strings.Contains(v, fault) {
					t.Errorf("want %q in %s", fault, v)
				}
			}()
			declare(c)
		}()
	}
}

type uncomparable struct{ _ []int }

// holding is of a type that can be compared, unless what it holds can't.
type holding struct{ eventbus.Format }

func (uncomparable) Name() string                                       { return "none" }
func (uncomparable) Type(*transport.Record) (string, error)             { return "", nil }
func (uncomparable) Decode(*transport.Record, *eventbus.Envelope) error { return nil }
func (uncomparable) Encode(*eventbus.Envelope, *transport.Record) error { return nil }

// TestExistingOnABus: a bus does not create another program's topic, and refuses a
// topic of another environment and declarations that contradict each other.
func TestExistingOnABus(t *testing.T) {
	start := func(t *testing.T, topics ...*eventbus.Topic[Order]) error {
		bus, err := eventbus.New(memory.New(), eventbus.Config{Service: "mailer", Environment: "Test"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = bus.Close(context.Background()) })
		for _, topic := range topics {
			eventbus.NewPublisher(bus, topic)
		}
		return bus.Start(t.Context())
	}
	missing := eventbus.NewTopic(eventbus.TopicConfig[Order]{Address: "orders"})
	if err := start(t, missing); !errors.Is(err, eventbus.ErrTopicMissing) {
		t.Errorf("a missing topic: %v", err)
	}
	if err := start(t, eventbus.NewTopic(eventbus.TopicConfig[Order]{Address: "orders", Create: true})); err != nil {
		t.Errorf("a topic that may be created: %v", err)
	}
	prod := eventbus.NewTopic(eventbus.TopicConfig[Order]{Address: "prod.orders", Create: true})
	if err := start(t, prod); err == nil || !strings.Contains(err.Error(), "environment prod") {
		t.Errorf("a topic of production: %v", err)
	}
	config := eventbus.TopicConfig[Order]{Address: "orders", Create: true, Type: "a", Format: format.Plain(format.PlainConfig{TypeHeader: "t"})}
	a := eventbus.NewTopic(config)
	config.Type = "b"
	same := eventbus.NewTopic(config)
	if err := start(t, a, same); err != nil {
		t.Errorf("two types with one format: %v", err)
	}
	config.Format, config.Partitioner = format.Plain(format.PlainConfig{TypeHeader: "t"}), eventbus.CRC32()
	if err := start(t, a, eventbus.NewTopic(config)); err == nil || !strings.Contains(err.Error(), "Format is plain for a and plain for b") || !strings.Contains(err.Error(), "Partitioner is murmur2 for a and crc32 for b") {
		t.Errorf("two formats: %v", err)
	}
}

// TestExistingSeveralTypes: a record without a type is dead-lettered if the topic has
// several types.
func TestExistingSeveralTypes(t *testing.T) {
	c := kafkatest.NewMemory(t)
	placed, paid := existing(format.Watermill(), "placed"), existing(format.Watermill(), "paid")
	c.Start(t, eventbus.On(placed, func(context.Context, Order) error { return nil }), eventbus.On(paid, func(context.Context, Order) error { return nil }))
	c.Produce(t, transport.Record{Topic: "shop-orders", Partition: -1, Value: []byte(`{"id":"o-1"}`)},
		transport.Record{Topic: "shop-orders", Partition: -1, Value: []byte(`{"id":"o-2"}`), Headers: headers("name", "paid")})
	c.Settle(t)
	kafkatest.Handled(t, c, paid, Order{ID: "o-2"})
	if n := len(kafkatest.Handled(t, c, placed)); n > 0 {
		t.Errorf("%d were handled as placed", n)
	}
	letters := kafkatest.DeadLettered(t, c, paid)
	if len(letters) != 1 || !strings.Contains(letters[0].Error, "the topic has several types") {
		t.Errorf("the dead letters are %v", letters)
	}
}

// TestExistingPartitionerOfOnesOwn: an event for which the partitioner returns a
// partition that does not exist is refused, and no other.
func TestExistingPartitionerOfOnesOwn(t *testing.T) {
	for name, cluster := range map[string]func(testing.TB) *kafkatest.Cluster{"memory": kafkatest.NewMemory, "broker": kafkatest.NewBroker} {
		t.Run(name, func(t *testing.T) {
			c := cluster(t)
			topic := eventbus.NewTopic(eventbus.TopicConfig[Order]{
				Address: "shop-orders", Create: true, Partitions: 3, Format: format.Plain(format.PlainConfig{}),
				Partitioner: eventbus.PartitionBy("length", func(key []byte, _ int32) int32 { return int32(len(key)) }),
			})
			p := eventbus.NewPublisher(c.Bus(t), topic)
			if err := p.Publish(t.Context(), Order{ID: "22"}); err != nil {
				t.Fatal(err)
			}
			if err := p.Publish(t.Context(), Order{ID: "333"}); err == nil || !strings.Contains(err.Error(), `chose partition 3, and there are 3`) {
				t.Errorf("a partition that is not there: %v", err)
			}
			if at, err := p.PublishAsync(t.Context(), Order{ID: "1"}).Wait(t.Context()); err != nil || at.Partition.Partition != 1 {
				t.Errorf("it is at %v: %v", at, err)
			}
			if _, err := p.Envelope(t.Context(), Order{ID: "1"}); err == nil || !strings.Contains(err.Error(), "is a function") {
				t.Errorf("an envelope for an outbox: %v", err)
			}
		})
	}
}
