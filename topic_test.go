package eventbus

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"
)

type customerCreated struct {
	CustomerID string    `json:"customerId"`
	Name       string    `json:"name"`
	CreatedAt  time.Time `json:"createdAt"`
}

type paymentProcessed struct {
	OrderID string  `json:"orderId" eventbus:"key"`
	Amount  float64 `json:"amount"`
}

type generic[T any] struct{ V T }

func TestTopicNames(t *testing.T) {
	t.Parallel()
	type config = TopicConfig[customerCreated]
	for want, c := range map[string]struct {
		env    string
		config config
	}{
		"dev.sales.public.customers.v1":           {"Development", config{Domain: "sales", Name: "customer", Plural: true}},
		"prod.sales.public.customers.v1":          {"Production", config{Domain: "sales", Name: "customer", Plural: true}},
		"prod.sales.internal.customer-updates.v1": {"Production", config{Domain: "sales", Name: "customer-updates", Scope: Internal}},
		"test.ecommerce.public.order-payments.v2": {"Test", config{Domain: "ecommerce", Name: "order-payment", Plural: true, Version: "v2"}},
		"stag.sales.public.customer":              {"Staging", config{Domain: "sales", Name: "customer", Unversioned: true}},
		"qa.sales.public.customer-updates.v1":     {"QA", config{Domain: "sales", Name: "customer-updates", Plural: true}},
		"dev.sales_eu.public.order2.v10-rc":       {"dev", config{Domain: "sales_eu", Name: "order2", Version: "v10-rc"}},
	} {
		if got := NewTopic(c.config).In(c.env); got != want {
			t.Errorf("In(%q) = %q, want %q", c.env, got, want)
		}
	}
}

func TestTopicType(t *testing.T) {
	t.Parallel()
	if got := NewTopic(TopicConfig[customerCreated]{Domain: "a", Name: "b"}).Type(); got != "customerCreated" {
		t.Errorf("type of a struct: %q", got)
	}
	if got := NewTopic(TopicConfig[*customerCreated]{Domain: "a", Name: "b"}).Type(); got != "customerCreated" {
		t.Errorf("type of a pointer: %q", got)
	}
	if got := NewTopic(TopicConfig[generic[int]]{Domain: "a", Name: "b", Type: "com.example.number"}).Type(); got != "com.example.number" {
		t.Errorf("type of a generic: %q", got)
	}
}

// panics returns what f panics with.
func panics(f func()) (text string) {
	defer func() { text, _ = recover().(string) }()
	f()
	return ""
}

// typedCodec is a codec of a content type.
type typedCodec string

func (c typedCodec) ContentType() string { return string(c) }

func (c typedCodec) Encode(_ context.Context, dst []byte, _ *Envelope, _ any) ([]byte, error) {
	return dst, nil
}

func (c typedCodec) Decode(context.Context, *Envelope, any) error { return nil }

func newTopic[T any](c TopicConfig[T]) func() string {
	return func() string { return panics(func() { NewTopic(c) }) }
}

func TestTopicDeclarationsThatCannotWork(t *testing.T) {
	t.Parallel()
	type config = TopicConfig[customerCreated]
	for name, c := range map[string]struct {
		declare func() string
		want    string
	}{
		"nothing":             {newTopic(config{}), `Domain is empty: write for example "sales"; Name is empty: write for example "order-payment"`},
		"capitals":            {newTopic(config{Domain: "Sales", Name: "b"}), `Domain "Sales" has capital letters: write "sales"`},
		"camel case":          {newTopic(config{Domain: "a", Name: "OrderPayment"}), `Name "OrderPayment" has capital letters: write "order-payment"`},
		"a dot":               {newTopic(config{Domain: "a", Name: "b.c"}), `Name "b.c" has a dot, which separates the parts of a name: write "b-c"`},
		"a space":             {newTopic(config{Domain: "a", Name: "b c"}), `Name "b c" has the character ' '`},
		"too long":            {newTopic(config{Domain: "a", Name: strings.Repeat("b", 240)}), "characters with the environment, Kafka takes 249"},
		"scope":               {newTopic(config{Domain: "a", Name: "b", Scope: 7}), "Scope is 7: use eventbus.Public or eventbus.Internal"},
		"version number":      {newTopic(config{Domain: "a", Name: "b", Version: "2"}), `Version "2" is not a version: write "v2"`},
		"version capital":     {newTopic(config{Domain: "a", Name: "b", Version: "V2"}), `write "v2"`},
		"version dotted":      {newTopic(config{Domain: "a", Name: "b", Version: "v1.2"}), `write "v1"`},
		"version zero":        {newTopic(config{Domain: "a", Name: "b", Version: "v0"}), `write "v1"`},
		"version word":        {newTopic(config{Domain: "a", Name: "b", Version: "latest"}), `write "v1"`},
		"version twice":       {newTopic(config{Domain: "a", Name: "b", Version: "v1", Unversioned: true}), "Unversioned is set: keep one"},
		"generic":             {newTopic(TopicConfig[generic[int]]{Domain: "a", Name: "b"}), "is generic, so its name is not an event's"},
		"no name":             {newTopic(TopicConfig[map[string]any]{Domain: "a", Name: "b"}), "has no name to take"},
		"type":                {newTopic(config{Domain: "a", Name: "b", Type: "a\nb"}), "Type holds a control character"},
		"long type":           {newTopic(config{Domain: "a", Name: "b", Type: strings.Repeat("t", 257)}), "Type has 257 bytes, and at most 256 can be"},
		"pointer to pointer":  {newTopic(TopicConfig[**customerCreated]{Domain: "a", Name: "b", Type: "T"}), "T is **eventbus.customerCreated: use *eventbus.customerCreated or eventbus.customerCreated"},
		"schema":              {newTopic(config{Domain: "a", Name: "b", DataSchema: "customer.json"}), `DataSchema "customer.json" is not an absolute URI`},
		"content type":        {newTopic(config{Domain: "a", Name: "b", Codec: typedCodec("%zz")}), `Codec has the ContentType "%zz", which is not a media type (RFC 2046): write for example "application/json"`},
		"event as content":    {newTopic(config{Domain: "a", Name: "b", Codec: typedCodec("application/cloudevents+json")}), "which is an event format"},
		"schema with space":   {newTopic(config{Domain: "a", Name: "b", DataSchema: "urn:a b"}), "is not an absolute URI"},
		"unkeyed, with a key": {newTopic(TopicConfig[paymentProcessed]{Domain: "a", Name: "b", Unkeyed: true}), "Unkeyed is set and eventbus.paymentProcessed has a key, by its field OrderID"},
		"partitions":          {newTopic(config{Domain: "a", Name: "b", Partitions: -1}), "Partitions is -1"},
		"replication":         {newTopic(config{Domain: "a", Name: "b", Replication: -1}), "Replication is -1"},
		"retention":           {newTopic(config{Domain: "a", Name: "b", Retention: 5}), "Retention is 5ns, and Kafka counts in milliseconds"},
		"retention twice":     {newTopic(config{Domain: "a", Name: "b", Retention: time.Hour, Configs: map[string]string{"retention.ms": "1"}}), "keep Retention"},
		"compacted by name":   {newTopic(config{Domain: "a", Name: "b", Configs: map[string]string{"cleanup.policy": "compact"}}), "write Compacted: true instead"},
		"config no name":      {newTopic(config{Domain: "a", Name: "b", Configs: map[string]string{"": "1"}}), "Configs has an entry without a name"},
		"compacted, no key":   {newTopic(config{Domain: "a", Name: "b", Compacted: true}), "Compacted is set and eventbus.customerCreated has no key to compact by"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.declare(); !strings.HasPrefix(got, "eventbus.NewTopic[") || !strings.Contains(got, c.want) {
				t.Errorf("panic %q, want %q", got, c.want)
			}
		})
	}
}

func TestInPanicsWhereABusHasAnError(t *testing.T) {
	t.Parallel()
	topic := NewTopic(TopicConfig[customerCreated]{Domain: "a", Name: strings.Repeat("b", 230)})
	if got := panics(func() { topic.In("a.b") }); !strings.Contains(got, "has a dot") {
		t.Errorf("panic %q", got)
	}
	if got := panics(func() { topic.In("a-long-environment") }); !strings.Contains(got, "Kafka takes 249") {
		t.Errorf("panic %q", got)
	}
}

func TestTopicSpec(t *testing.T) {
	t.Parallel()
	key := func(e customerCreated) string { return e.CustomerID }
	for name, c := range map[string]struct {
		config TopicConfig[customerCreated]
		want   map[string]string
	}{
		"defaults":  {TopicConfig[customerCreated]{}, map[string]string{}},
		"compacted": {TopicConfig[customerCreated]{Key: key, Compacted: true}, map[string]string{"cleanup.policy": "compact"}},
		"both":      {TopicConfig[customerCreated]{Key: key, Compacted: true, Retention: time.Hour}, map[string]string{"cleanup.policy": "compact,delete", "retention.ms": "3600000"}},
		"unlimited": {TopicConfig[customerCreated]{Retention: -1}, map[string]string{"retention.ms": "-1"}},
		"replicas":  {TopicConfig[customerCreated]{Replication: 3}, map[string]string{"min.insync.replicas": "2"}},
		"own words": {TopicConfig[customerCreated]{Replication: 3, Configs: map[string]string{"min.insync.replicas": "1", "max.message.bytes": "9"}}, map[string]string{"min.insync.replicas": "1", "max.message.bytes": "9"}},
	} {
		c.config.Domain, c.config.Name, c.config.Partitions = "a", "b", 6
		spec := NewTopic(c.config).Declaration().Spec("dev.a.public.b.v1")
		if spec.Name != "dev.a.public.b.v1" || spec.Partitions != 6 || spec.Replication != c.config.Replication || !maps.Equal(spec.Configs, c.want) {
			t.Errorf("%s: %+v, want configs %v", name, spec, c.want)
		}
	}
}

// Changing the map that a declaration was made from does not change the
// declaration.
func TestTopicOwnsItsConfigs(t *testing.T) {
	t.Parallel()
	configs := map[string]string{"max.message.bytes": "9"}
	topic := NewTopic(TopicConfig[customerCreated]{Domain: "a", Name: "b", Configs: configs})
	configs["max.message.bytes"] = "10"
	if got := topic.Declaration().Spec("x").Configs["max.message.bytes"]; got != "9" {
		t.Errorf("config became %q", got)
	}
	if first := topic.Declaration(); first != topic.Declaration() || first.ID != any(topic) {
		t.Error("the declaration has no identity")
	}
}
