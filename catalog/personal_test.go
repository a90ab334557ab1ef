package catalog_test

import (
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
)

// written is a codec with a handwritten schema.
type written struct {
	eventbus.Codec
	schema string
}

func (c written) SchemaText() string { return c.schema }

type street struct {
	Name string `json:"name" data:"personal"`
	City string `json:"city"`
}

type tenant struct {
	ID     string            `json:"id"`
	Mail   string            `json:"mail" data:"personal"`
	Home   *street           `json:"home"`
	Others []street          `json:"others"`
	ByKind map[string]street `json:"byKind"`
	Next   *tenant           `json:"next"`
}

// TestPersonalFields: a handwritten schema gets the marks of the Go type, and one that
// lacks none does not change.
func TestPersonalFields(t *testing.T) {
	t.Parallel()
	of := func(schema string) string {
		d, err := catalog.Of(eventbus.NewTopic(eventbus.TopicConfig[tenant]{Domain: "a", Name: "b", Codec: written{eventbus.JSON(), schema}}))
		if err != nil {
			t.Fatal(err)
		}
		return string(d.Topics[0].Events[0].Schema)
	}
	got := of(`{"properties":{"id":{"type":"string","maxLength":9007199254740993},"mail":{"type":"string"},"home":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/S"}]},
		"others":{"items":{"$ref":"#/$defs/S"}},"byKind":{"additionalProperties":{"properties":{"name":{},"city":{}}}},"next":{"$ref":"#"}},
		"$defs":{"S":{"properties":{"name":{"type":"string"},"city":{"type":"string"}}}}}`)
	const want = `{"$defs":{"S":{"properties":{"city":{"type":"string"},"name":{"type":"string","x-eventbus-personal":true}}}},` +
		`"properties":{"byKind":{"additionalProperties":{"properties":{"city":{},"name":{"x-eventbus-personal":true}}}},"home":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/S"}]},` +
		`"id":{"maxLength":9007199254740993,"type":"string"},"mail":{"type":"string","x-eventbus-personal":true},"next":{"$ref":"#"},"others":{"items":{"$ref":"#/$defs/S"}}}}`
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got := of(`true`); got != `true` {
		t.Errorf("%s", got)
	}
	// Nested alternatives of any depth are visited once.
	deep := `{"properties":{"mail":{"type":"string"}}}`
	for range 40 {
		deep = `{"anyOf":[` + deep + `,{"$ref":"#/$defs/A"}]}`
	}
	if got := of(`{"$defs":{"A":{"allOf":[{"$ref":"#/$defs/A"},{"$ref":"#"}]}},"anyOf":[` + deep + `]}`); !strings.Contains(got, `"mail":{"type":"string","x-eventbus-personal":true}`) {
		t.Errorf("%s", got)
	}
	// A schema that refers to itself in every way does not loop.
	if got := of(`{"$defs":{"A":{"allOf":[{"$ref":"#/$defs/A"},{"$ref":"#/$defs/A"}],"items":{"$ref":"#/$defs/A"}}},"$ref":"#/$defs/A"}`); !strings.Contains(got, "allOf") {
		t.Errorf("%s", got)
	}
}
