package format_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/claimcheck"
	"github.com/eventbus-go/eventbus/format"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/personal"
	"github.com/eventbus-go/eventbus/transport"
)

type Order struct {
	ID    string `json:"id" eventbus:"key"`
	Total int    `json:"total"`
}

// existing declares a topic of another program.
func existing(f eventbus.Format, typ string) *eventbus.Topic[Order] {
	return eventbus.NewTopic(eventbus.TopicConfig[Order]{Address: "shop-orders", Create: true, Format: f, Type: typ})
}

// vectors are records as the formats' programs write them. Those of Watermill, Spring,
// Debezium and kafka-go are exchanged with the programs themselves in
// examples/migration; the other sources are named here.
var vectors = []struct {
	name    string
	format  eventbus.Format
	typ     string
	headers []transport.Header
	value   string
	id      string // "" for one made from its position
	source  string
	time    string
}{
	{name: "plain, one type", format: format.Plain(format.PlainConfig{}), value: `{"id":"o-1","total":7}`},
	{
		name: "plain, headers", typ: "order.placed", format: format.Plain(format.PlainConfig{TypeHeader: "event", IDHeader: "message-id", Source: "urn:shop", TimeHeader: "at"}),
		headers: headers("event", "order.placed", "message-id", "m-1", "at", "2026-11-27T01:02:03Z"), value: `{"id":"o-1","total":7}`,
		id: "m-1", source: "urn:shop", time: "2026-11-27T01:02:03Z",
	},
	{
		name: "plain, type in the value", typ: "order.placed", format: format.Plain(format.PlainConfig{TypeOf: typeInValue}),
		value: `{"kind":"order.placed","id":"o-1","total":7}`,
	},
	{ // watermill-kafka/v3 v3.0.6, pkg/kafka/marshaler.go; watermill v1.5.1, components/cqrs/marshaler_json.go
		name: "watermill", typ: "shop.OrderPlaced", format: format.Watermill(),
		headers: headers("_watermill_message_uuid", "a6ea0ac8-d2a6-4f06-8ea4-0d1b9ab0b5f9", "name", "shop.OrderPlaced"), value: `{"id":"o-1","total":7}`,
		id: "a6ea0ac8-d2a6-4f06-8ea4-0d1b9ab0b5f9",
	},
	{ // spring-kafka, org.springframework.kafka.support.mapping.AbstractJavaTypeMapper.DEFAULT_CLASSID_FIELD_NAME
		name: "spring", typ: "com.shop.OrderPlaced", format: format.Spring(),
		headers: headers("__TypeId__", "com.shop.OrderPlaced"), value: `{"id":"o-1","total":7}`,
	},
	{ // Wolverine, src/Wolverine/EnvelopeConstants.cs and Transports/EnvelopeMapper.cs
		name: "wolverine", typ: "Shop.Contracts.OrderPlaced", format: format.Wolverine(),
		headers: headers("id", "018f7a3e-6c5b-7000-8000-0242ac120002", "message-type", "Shop.Contracts.OrderPlaced", "source", "ShopApi",
			"content-type", "application/json", "correlation-id", "c-1", "sent-at", "2026-11-27 01:02:03:000456 Z", "attempts", "0", "reply-requested", "false"),
		value: `{"id":"o-1","total":7}`, id: "018f7a3e-6c5b-7000-8000-0242ac120002", source: "ShopApi", time: "2026-11-27T01:02:03.000456Z",
	},
	{ // MassTransit, MessageHeaders.cs and KafkaIntegration/Serializers/DictionaryHeadersSerialize.cs
		name: "masstransit", typ: "urn:message:Shop.Contracts:OrderPlaced", format: format.MassTransit(),
		headers: headers("MessageId", "08dc1f4e-6c5b-7000-8000-0242ac120002", "MT-MessageType", "urn:message:Shop.Contracts:OrderPlaced;urn:message:Shop.Contracts:OrderEvent",
			"MT-Source-Address", "loopback://localhost/shop", "Content-Type", "application/json", "ConversationId", "08dc1f4e-0000-7000-8000-0242ac120002"),
		value: `{"id":"o-1","total":7}`, id: "08dc1f4e-6c5b-7000-8000-0242ac120002", source: "loopback://localhost/shop",
	},
	{ // Debezium, "Outbox Event Router", example of an outbox message
		name: "debezium", typ: "OrderPlaced", format: format.Debezium(format.DebeziumConfig{Quoted: true}),
		headers: headers("id", "4d47e190-0402-4048-bc2c-89dd54343cdc", "eventType", "OrderPlaced"), value: `"{\"id\":\"o-1\",\"total\":7}"`,
		id: "4d47e190-0402-4048-bc2c-89dd54343cdc",
	},
	{ // JsonConverter with schemas.enable
		name: "debezium, with a schema", format: format.Debezium(format.DebeziumConfig{Envelope: true}),
		headers: headers("id", "4d47e190-0402-4048-bc2c-89dd54343cdc"), value: `{"schema":null,"payload":{"id":"o-1","total":7}}`,
		id: "4d47e190-0402-4048-bc2c-89dd54343cdc",
	},
	{ // Confluent, "Wire format" of the serializers
		name: "confluent", format: format.Confluent(format.ConfluentConfig{SchemaID: 258}), value: "\x00\x00\x00\x01\x02" + `{"id":"o-1","total":7}`,
	},
}

func headers(pairs ...string) (hs []transport.Header) {
	for i := 0; i < len(pairs); i += 2 {
		hs = append(hs, transport.Header{Key: pairs[i], Value: []byte(pairs[i+1])})
	}
	return hs
}

func typeInValue(r *transport.Record) (string, error) {
	var v struct{ Kind string }
	if err := json.Unmarshal(r.Value, &v); err != nil || v.Kind == "" {
		return "", errors.New("the value has no kind")
	}
	return v.Kind, nil
}

// TestFormatVectors reads each vector, and checks that publishing the event writes the
// same form.
func TestFormatVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			c := kafkatest.NewMemory(t)
			topic := existing(v.format, v.typ)
			seen := make(chan *eventbus.Envelope, 2)
			bus := c.Start(t, eventbus.On(topic, func(ctx context.Context, _ Order) error {
				e, _ := eventbus.EnvelopeFrom(ctx)
				seen <- e.Clone()
				return nil
			}))
			at := time.UnixMilli(1_764_206_000_123).UTC()
			c.Produce(t, transport.Record{Topic: "shop-orders", Partition: -1, Key: []byte("o-1"), Value: []byte(v.value), Headers: v.headers, Time: at})
			c.Settle(t)
			kafkatest.Handled(t, c, topic, Order{"o-1", 7})
			e := <-seen
			if e.ID == "" || v.id != "" && e.ID != v.id || v.id == "" && !strings.HasPrefix(e.ID, "shop-orders/") {
				t.Errorf("its id is %q, want %q", e.ID, v.id)
			}
			if want := v.source; want != "" && e.Source != want || want == "" && e.Source != "urn:kafka:shop-orders" {
				t.Errorf("its source is %q, want %q", e.Source, want)
			}
			want := at
			if v.time != "" {
				want, _ = time.Parse(time.RFC3339Nano, v.time)
			}
			if !e.Time.Equal(want) {
				t.Errorf("its time is %v, want %v", e.Time, want)
			}
			if e.Type != topic.Type() || string(e.Key) != "o-1" {
				t.Errorf("it is %q with key %q", e.Type, e.Key)
			}

			err := eventbus.NewPublisher(bus, topic).Publish(t.Context(), Order{"o-1", 7})
			if strings.Contains(v.value, "kind") {
				if !errors.Is(err, eventbus.ErrSerialization) {
					t.Errorf("an event without its kind was published: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			c.Settle(t)
			kafkatest.Handled(t, c, topic, Order{"o-1", 7}, Order{"o-1", 7})
			kafkatest.Published(t, c, topic, Order{"o-1", 7}, Order{"o-1", 7})
			records := c.Memory().Records("shop-orders")
			var ours *transport.Record
			for i := range records {
				if string(records[i].Key) == "o-1" {
					ours = &records[i] // the last
				}
			}
			if string(ours.Value) != v.value {
				t.Errorf("we wrote %q, want %q", ours.Value, v.value)
			}
			for _, h := range ours.Headers {
				if strings.HasPrefix(h.Key, "ce_") {
					t.Errorf("we wrote the header %s", h.Key)
				}
			}
		})
	}
}

// panicking is a user's format whose methods panic on some records.
type panicking struct{ eventbus.Format }

func (f panicking) Type(r *transport.Record) (string, error) {
	if string(r.Value) == "type" {
		panic(r.Value[100:])
	}
	return f.Format.Type(r)
}

func (f panicking) Decode(r *transport.Record, e *eventbus.Envelope) error {
	if string(r.Value) == "data" {
		panic(r.Value[100:])
	}
	return f.Format.Decode(r, e)
}

// TestFormatThatPanics: the record is dead-lettered as malformed, and the program goes
// on.
func TestFormatThatPanics(t *testing.T) {
	c := kafkatest.NewMemory(t)
	topic := existing(panicking{format.Plain(format.PlainConfig{})}, "")
	c.Start(t, eventbus.On(topic, func(context.Context, Order) error { return nil }))
	for _, value := range []string{"type", "data", `{"id":"o-1","total":7}`} {
		c.Produce(t, transport.Record{Topic: "shop-orders", Partition: -1, Key: []byte("o-1"), Value: []byte(value)})
	}
	c.Settle(t)
	kafkatest.Handled(t, c, topic, Order{"o-1", 7})
	letters := kafkatest.DeadLettered(t, c, topic)
	if len(letters) != 2 {
		t.Fatalf("%d dead letters", len(letters))
	}
	for i, method := range []string{"Format.Type", "Format.Decode"} {
		if l := letters[i]; l.Reason != "malformed" || !strings.Contains(l.Error, method+" panicked at ") || l.Attempts > 1 {
			t.Errorf("%s after %d attempts: %s", l.Reason, l.Attempts, l.Error)
		}
	}
}

// TestPersonalDataNeedsTheID: encrypted data is bound to the event's id, so it is not
// published in a format that does not keep the id.
func TestPersonalDataNeedsTheID(t *testing.T) {
	type customer struct {
		ID    string `json:"id" eventbus:"key"`
		Email string `json:"email" data:"personal"`
	}
	for name, v := range map[string]struct {
		format  eventbus.Format
		whole   bool
		carries bool
	}{
		"plain":            {format.Plain(format.PlainConfig{}), false, false},
		"confluent":        {format.Confluent(format.ConfluentConfig{SchemaID: 1}), false, false},
		"plain with an id": {format.Plain(format.PlainConfig{IDHeader: "message-id"}), false, true},
		"whole":            {format.Plain(format.PlainConfig{IDHeader: "message-id"}), true, true},
		"debezium":         {format.Debezium(format.DebeziumConfig{}), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			c, f := kafkatest.NewMemory(t), v.format
			codec := claimcheck.New(personal.New(eventbus.JSON(), new(personal.Ring), personal.Config{Whole: v.whole}), claimcheck.Dir(t.TempDir()), claimcheck.Config{})
			topic := eventbus.NewTopic(eventbus.TopicConfig[customer]{Address: "shop-customers", Create: true, Format: f, Codec: codec, Type: "customer"})
			bus := c.Start(t, eventbus.On(topic, func(context.Context, customer) error { return nil }))
			ada := customer{"c-1", "ada@example.com"}
			err := eventbus.NewPublisher(bus, topic).Publish(t.Context(), ada)
			c.Settle(t)
			if v.carries {
				if err != nil {
					t.Fatal(err)
				}
				kafkatest.Handled(t, c, topic, ada)
				return
			}
			if !errors.Is(err, eventbus.ErrSerialization) || !strings.Contains(err.Error(), `"id" has no place in the record`) {
				t.Error(err)
			}
		})
	}
}
