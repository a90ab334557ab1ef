package interop

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/schema/avro"
	"github.com/eventbus-go/eventbus/schema/internal/testdata/orders"
	"github.com/eventbus-go/eventbus/schema/jsonschema"
	"github.com/eventbus-go/eventbus/schema/protobuf"
	"github.com/eventbus-go/eventbus/schema/registry"
)

type invoice struct {
	ID    string      `avro:"id" json:"id"`
	Total invoiceLine `avro:"total" json:"total"`
}

type invoiceLine struct {
	Cents int64 `avro:"cents" json:"cents"`
}

// The catalogue gets the codecs' schemas without a registry, and Compare sees changes
// of them and of the schemas that they refer to.
func TestCatalogueKnowsSchemas(t *testing.T) {
	t.Parallel()
	of := func(avroLine, jsonLine string) *catalog.Document {
		d, err := catalog.Of(
			eventbus.NewTopic(eventbus.TopicConfig[invoice]{Domain: "shop", Name: "invoice", Plural: true, Type: "Avro", Codec: avro.Codec[invoice](nil, registry.None,
				`{"type":"record","name":"Invoice","namespace":"shop","fields":[{"name":"id","type":"string"},{"name":"total","type":"Line"}]}`, registry.Refer("shop.Line", "shop.Line", avroLine))}),
			eventbus.NewTopic(eventbus.TopicConfig[invoice]{Domain: "shop", Name: "invoice", Plural: true, Type: "JSON", Codec: jsonschema.Codec[invoice](nil, registry.None,
				`{"$schema":"http://json-schema.org/draft-07/schema#","title":"Invoice","type":"object","properties":{"id":{"type":"string"},"total":{"$ref":"line.json"}}}`, registry.Refer("line.json", "line", jsonLine))}),
			eventbus.NewTopic(eventbus.TopicConfig[*orders.OrderPlaced]{Domain: "shop", Name: "invoice", Plural: true, Type: "Protobuf", Codec: protobuf.Codec[*orders.OrderPlaced](nil, registry.None)}),
		)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	const avroLine, jsonLine = `{"type":"record","name":"Line","namespace":"shop","fields":[{"name":"cents","type":"long"}]}`, `{"type":"object"}`
	base := of(avroLine, jsonLine)
	for _, e := range base.Topics[0].Events {
		if !json.Valid(e.Schema) || len(e.Schema) < 100 {
			t.Errorf("%s: %s", e.Type, e.Schema)
		}
	}
	if changes := catalog.Compare(base, of(avroLine, jsonLine)); len(changes) > 0 {
		t.Errorf("no change: %v", changes)
	}
	rules := func(now *catalog.Document) (all []string) {
		for _, c := range catalog.Compare(base, now) {
			all = append(all, string(c.Level)+" "+c.Path+" "+c.Rule)
		}
		return all
	}
	got := rules(of(strings.Replace(avroLine, "long", "int", 1), `{"type":"string"}`))
	want := []string{
		"breaking shop.public.invoices.v1/Avro#/fields/total/fields/cents field-retyped",
		"undecided shop.public.invoices.v1/JSON#/x-eventbus-references keyword-changed",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q\nwant %q", got, want)
	}
	changed := of(avroLine, jsonLine)
	e := &changed.Topics[0].Events[2]
	e.Schema = json.RawMessage(strings.Replace(string(e.Schema), `"name":"cents","number":2`, `"name":"cents","number":3`, 1))
	if got := rules(changed); len(got) != 2 || !strings.HasPrefix(got[0], "breaking shop.public.invoices.v1/Protobuf#/total/cents field-removed") {
		t.Errorf("%q", got)
	}
	var text strings.Builder
	if _, err := base.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	if back, err := catalog.Read(strings.NewReader(text.String())); err != nil || len(catalog.Compare(base, back)) > 0 {
		t.Errorf("read again: %v", err)
	}
	document, err := base.AsyncAPI(catalog.AsyncAPIConfig{})
	if err != nil || !strings.Contains(string(document), "x-eventbus-schema") {
		t.Errorf("%v", err)
	}
}
