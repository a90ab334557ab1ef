package catalog_test

import (
	"bytes"
	"context"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/transport/memory"
)

type (
	shipmentSent struct {
		Warehouse string `eventbus:"key=1"`
		Number    int    `eventbus:"key=2"`
	}
	shipmentLost struct{ ID string }
)

func (s shipmentLost) PartitionKey() string { return s.ID }

var (
	sentTopic = eventbus.NewTopic(eventbus.TopicConfig[shipmentSent]{
		Domain: "logistics", Name: "shipment", Plural: true, Type: "ShipmentSent", Partitions: 6,
		Configs: map[string]string{"max.message.bytes": "2000000"}, Description: "Sent, to <somebody> & all.", Owner: "dispatch",
	})
	lostTopic = eventbus.NewTopic(eventbus.TopicConfig[shipmentLost]{
		Domain: "logistics", Name: "shipment", Plural: true, Type: "ShipmentLost", Replication: 3, Retention: 7 * 24 * time.Hour,
		DataSchema: "https://schemas.example.com/lost.json",
	})
	auditTopic = eventbus.NewTopic(eventbus.TopicConfig[string]{
		Domain: "logistics", Name: "audit", Scope: eventbus.Internal, Type: "Audited", Unversioned: true, Retention: -1,
	})
)

// TestCatalog compares a document with a handwritten file.
func TestCatalog(t *testing.T) {
	want, err := os.ReadFile("testdata/catalog.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, topics := range [][]eventbus.AnyTopic{
		{sentTopic, lostTopic, auditTopic},
		{auditTopic, lostTopic, sentTopic, lostTopic},
	} {
		d, err := catalog.Of(topics...)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if _, err := d.WriteTo(&got); err != nil {
			t.Fatal(err)
		}
		if got.String() != string(want) {
			t.Errorf("%s\nwant\n%s", &got, want)
		}
		back, err := catalog.Read(&got)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, d) {
			t.Errorf("read back: %+v, want %+v", back, d)
		}
	}
}

func TestCatalogSpec(t *testing.T) {
	d, err := catalog.Of(sentTopic, lostTopic, auditTopic)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := d.Topics[1].Spec("eu-west-1")
	if err != nil {
		t.Fatal(err)
	}
	if spec.Name != "eu-west-1.logistics.public.shipments.v1" || spec.Partitions != 6 || spec.Replication != 3 ||
		!reflect.DeepEqual(spec.Configs, map[string]string{"max.message.bytes": "2000000", "min.insync.replicas": "2", "retention.ms": "604800000"}) {
		t.Errorf("%+v", spec)
	}
	if spec, err = d.Topics[0].Spec("Test"); err != nil || spec.Configs["retention.ms"] != "-1" {
		t.Errorf("%+v, %v", spec, err)
	}
	if _, err := d.Topics[0].Spec("a b"); err == nil {
		t.Error("an environment with a space")
	}
}

func TestCatalogContradictions(t *testing.T) {
	declare := func(c eventbus.TopicConfig[shipmentLost]) eventbus.AnyTopic {
		c.Domain, c.Name, c.Plural = "logistics", "shipment", true
		return eventbus.NewTopic(c)
	}
	for name, c := range map[string]struct {
		topics []eventbus.AnyTopic
		want   string
	}{
		"nil":        {[]eventbus.AnyTopic{lostTopic, nil}, "topic 2 of 2 is nil"},
		"not set":    {[]eventbus.AnyTopic{lostTopic, (*eventbus.Topic[shipmentLost])(nil)}, "topic 2 of 2 is nil"},
		"twice":      {[]eventbus.AnyTopic{lostTopic, declare(eventbus.TopicConfig[shipmentLost]{Type: "ShipmentLost"})}, "declared twice"},
		"partitions": {[]eventbus.AnyTopic{sentTopic, lostTopic, declare(eventbus.TopicConfig[shipmentLost]{Type: "Found", Partitions: 3})}, "Partitions is 3 for Found and 6 for ShipmentSent"},
		"owners":     {[]eventbus.AnyTopic{sentTopic, declare(eventbus.TopicConfig[shipmentLost]{Type: "Found", Owner: "claims"})}, `Owner is "claims" and, for ShipmentSent, "dispatch"`},
	} {
		if _, err := catalog.Of(c.topics...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
	}
}

func TestReadCatalogRefuses(t *testing.T) {
	good, err := os.ReadFile("testdata/catalog.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, to, want string }{
		{string(good), "", "it is empty"},
		{string(good), "[]", "it is not a catalogue"},
		{string(good), "{}", "catalogVersion is missing"},
		{string(good), `{"catalogVersion":"one"}`, "it is not a catalogue"},
		{`Version": 2,`, `Version": 0,`, "the first was 1"},
		{`Version": 2,`, `Version": 3, "later": true,`, "update the reader"},
		{`"partitions"`, `"partitons"`, `"partitons"`},
		{`"partitions": 6`, `"partitions": "6"`, "partitions"},
		{`"partitions": 6`, `"partitions": -6`, "Partitions is -6"},
		{`"partitions": 6`, `"partitions": 6, "partitions": 7`, "duplicate"},
		{`"name": "logistics.public`, `"name": "logistics.private`, "is not that of its parts"},
		{`"domain": "logistics"`, `"domain": "Logi stics"`, `write "logi-stics"`},
		{`"scope": "public"`, `"scope": "secret"`, "scope is"},
		{`"dev.logistics.public.shipments.v1"`, `"dev.logistics.public.shipment.v1"`, `write "dev.logistics.public.shipments.v1"`},
		{`"retentionMs": -1`, `"retentionMs": -2`, "write up to"},
		{`"retentionMs": -1`, `"retentionMs": 9223372036854775807`, "write up to"},
		{`"source": "fields"`, `"source": "tags"`, "write function, method, fields or none"},
		{`"source": "method"`, `"source": "fields"`, "names none"},
		{`"type": "ShipmentLost"`, `"type": "ShipmentSent"`, "twice"},
		{`"type": "ShipmentLost"`, `"type": ""`, "without a type"},
		{"https://schemas", "schemas", "not an absolute URI"},
		{`"max.message.bytes"`, `"retention.ms"`, "keep Retention"},
		{`"partitions": 6`, `"partitions": 6, "compacted": true, "compacted": true`, "duplicate"},
		{`"retentionMs": -1`, `"compacted": true`, "no key to compact by"},
		{string(good), string(good) + "{}", "it is not a catalogue"},
		{string(good), strings.Repeat(" ", 17<<20), "longer than"},
	} {
		source := strings.Replace(string(good), c.from, c.to, 1)
		if source == string(good) {
			t.Errorf("%q is not in the document", c.from)
		}
		if d, err := catalog.Read(strings.NewReader(source)); err == nil || !strings.Contains(err.Error(), c.want) || d != nil {
			t.Errorf("%.40q for %.40q: %v, want %q in it", c.to, c.from, err, c.want)
		}
	}
}

func TestBusCatalog(t *testing.T) {
	bus, err := eventbus.New(memory.New(), eventbus.Config{Service: "shipping", Environment: "Staging"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close(t.Context()) })
	eventbus.NewPublisher(bus, lostTopic)
	handler := func(context.Context, shipmentSent) error { return nil }
	if err := bus.Add(eventbus.On(sentTopic, handler), eventbus.On(sentTopic, handler, eventbus.Group("billing-stag"))); err != nil {
		t.Fatal(err)
	}
	d, err := catalog.OfBus(bus)
	if err != nil {
		t.Fatal(err)
	}
	if d.Service != "shipping" || d.Environment != "Staging" || len(d.Topics) != 1 {
		t.Fatalf("%+v", d)
	}
	topic := d.Topics[0]
	if !slices.Equal(topic.Groups, []string{"billing-stag", "shipping-stag"}) || len(topic.Events) != 2 || !topic.Events[0].Published || topic.Events[1].Published {
		t.Errorf("%+v", topic)
	}
}

func FuzzReadCatalog(f *testing.F) {
	good, err := os.ReadFile("testdata/catalog.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"catalogVersion":1,"topics":[{"events":null}]}`))
	f.Fuzz(func(t *testing.T, source []byte) {
		d, err := catalog.Read(bytes.NewReader(source))
		if err != nil {
			return
		}
		var written bytes.Buffer
		if _, err := d.WriteTo(&written); err != nil {
			t.Fatal(err)
		}
		if _, err := catalog.Read(&written); err != nil {
			t.Errorf("what was read does not read again: %v", err)
		}
	})
}

type embeds struct {
	embedded
	*Pointed
	Country string `json:"country"`
}

type embedded struct {
	ID, Name, City string
	At             time.Time
}

type Pointed struct{ Zip, Street, Number, Floor string }

// The fields of embedded structs are found, even if there are more of them than of the
// outer struct's own.
func TestEmbeddedStructs(t *testing.T) {
	t.Parallel()
	d, err := catalog.Of(eventbus.NewTopic(eventbus.TopicConfig[embeds]{Domain: "a", Name: "b", Type: "E", Key: func(e embeds) string { return e.ID + e.Country }}))
	if err != nil {
		t.Fatal(err)
	}
	e := &d.Topics[0].Events[0]
	for _, want := range []string{`"ID":"ID-`, `"City":"City-`, `"country":"country-`} {
		if !strings.Contains(string(e.Example), want) {
			t.Errorf("%s is not in %s", want, e.Example)
		}
	}
	if len(e.Key.Examples) != 2 || !strings.Contains(e.Key.Examples[0], "country-") {
		t.Errorf("keys %q", e.Key.Examples)
	}
}
