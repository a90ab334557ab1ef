package mask

import (
	"encoding/json"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
)

type address struct {
	Street string `json:"street" data:"personal"`
	City   string `json:"city"`
}

type customer struct {
	ID        string             `json:"id"`
	Email     string             `json:"email" data:"personal"`
	Home      address            `json:"home"`
	Others    []address          `json:"others"`
	ByKind    map[string]address `json:"byKind"`
	Phone     *string            `json:"phone" data:"personal"`
	Nicknames []string           `json:"nicknames" data:"personal"`
}

// TestJSON masks the fields that a struct marks, however deep, and those that the schema does
// not describe. 64-bit ids stay unchanged.
func TestJSON(t *testing.T) {
	d, err := catalog.Of(eventbus.NewTopic(eventbus.TopicConfig[customer]{Domain: "sales", Name: "customers"}))
	if err != nil {
		t.Fatal(err)
	}
	schema := Schema([]*catalog.Document{d}, "prod.sales.public.customers.v1.mailer-prod.dlq", "customer")
	if schema == nil {
		t.Fatal("there is no schema of a letter's type")
	}
	phone := "+1"
	home := address{"S", "Bonn"}
	data, err := json.Marshal(customer{"1", "a@b", home, []address{home}, map[string]address{"work": home}, &phone, []string{"x"}})
	if err != nil {
		t.Fatal(err)
	}
	got, ok := JSON(data, schema)
	const want = `{"byKind":{"work":{"city":"Bonn","street":"•••"}},"email":"•••","home":{"city":"Bonn","street":"•••"},"id":"1",` +
		`"nicknames":"•••","others":[{"city":"Bonn","street":"•••"}],"phone":"•••"}`
	if !ok || string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	for in, want := range map[string]string{
		`{"id":"1","new":{"a":1}}`:      `{"id":"1","new":"•••"}`,
		`{"email":"AQIDBA==","id":"1"}`: `{"email":"•••","id":"1"}`, // encrypted
	} {
		if got, ok := JSON([]byte(in), schema); !ok || string(got) != want {
			t.Errorf("%s is shown as %s", in, got)
		}
	}
	if _, ok := JSON([]byte{0, 1, 2}, schema); ok {
		t.Error("encrypted data is JSON")
	}
}

// TestCovers finds a topic by its full names, and by those of its letters.
func TestCovers(t *testing.T) {
	d, err := catalog.Of(
		eventbus.NewTopic(eventbus.TopicConfig[customer]{Domain: "sales", Name: "customers"}),
		eventbus.NewTopic(eventbus.TopicConfig[address]{Address: "legacy-{env}", Addresses: map[string]string{"prod": "legacy"}}))
	if err != nil {
		t.Fatal(err)
	}
	for name, covered := range map[string]bool{
		"prod.sales.public.customers.v1":              true,
		"qa.sales.public.customers.v1":                true,
		"dev.sales.public.customers.v1.g.dlq":         true,
		"dev.sales.public.customers.v1.g.retry":       true,
		"dev.sales.public.customers.v1.g":             false,
		"sales.public.customers.v1":                   false,
		"dev.sales.public.customers.v2":               false,
		"legacy":                                      true,
		"legacy-dev":                                  true,
		"legacy.g.dlq":                                true,
		"legacyx":                                     false,
		"dev.sales.public.customers.v1x.mailer-a.dlq": false,
	} {
		got := false
		for i := range d.Topics {
			got = got || Covers(&d.Topics[i], name)
		}
		if got != covered {
			t.Errorf("%s is covered: %v", name, got)
		}
	}
}

// TestJSONAlternatives: a value is masked if any of its alternatives is personal, and
// recursive alternatives terminate.
func TestJSONAlternatives(t *testing.T) {
	const personal = `{"type":"string","x-eventbus-personal":true}`
	for name, schema := range map[string]string{
		"in place":    `{"anyOf":[` + personal + `,{"type":"null"}]}`,
		"referred to": `{"allOf":[{"$ref":"#/d"}]}`,
		"nested":      `{"oneOf":[{"type":"null"},{"anyOf":[{"type":"integer"},{"$ref":"#/d"}]}]}`,
		"circular":    `{"anyOf":[{"$ref":"#/properties/a"},{"$ref":"#/properties/a"}]}`,
	} {
		var root any
		if err := json.Unmarshal([]byte(`{"type":"object","d":`+personal+`,"properties":{"b":{"anyOf":[{"type":"string"},{"type":"null"}]},"a":`+schema+`}}`), &root); err != nil {
			t.Fatal(err)
		}
		if got, ok := JSON([]byte(`{"a":"x","b":"y"}`), root); !ok || string(got) != `{"a":"•••","b":"y"}` {
			t.Errorf("%s: %s", name, got)
		}
	}
}
