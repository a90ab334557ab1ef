package catalog_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
)

const head = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object",`

// base is the document that the table changes.
func base() *catalog.Document {
	return &catalog.Document{Version: catalog.Version, Topics: []catalog.Topic{{
		Name: "sales.public.customers.v1", Domain: "sales", Scope: "public", Topic: "customers", Version: "v1", Owner: "sales", Partitions: 6, Replication: 3,
		RetentionMs: 1000, Configs: map[string]string{"max.message.bytes": "1000", "min.insync.replicas": "2", "segment.bytes": "7"}, Groups: []string{"billing", "mailer"},
		Events: []catalog.Event{
			event("Created", `"required":["id"],"properties":{"id":{"type":"string"},"age":{"type":"integer","format":"int32"},"tags":{"type":"array","items":{"type":"string"}},
				"color":{"type":"string","enum":["red","blue"]},"size":{"type":"integer","minimum":1,"maximum":9},"at":{"type":"string","format":"date-time"},
				"raw":{"type":"string","contentEncoding":"base64"},"note":{"type":["string","null"]},"kind":{"const":"a"},"any":{},"by":{"type":"object","additionalProperties":{"type":"string"}},
				"mail":{"type":"string","x-eventbus-personal":true,"description":"where to write"},"addr":{"$ref":"#/$defs/Addr"}},"$defs":{"Addr":{"type":"object","properties":{"zip":{"type":"string"},"next":{"$ref":"#/$defs/Addr"}}}}}`),
			event("Deleted", `"properties":{"id":{"type":"string"}}}`),
		},
	}}}
}

func event(typ, schema string) catalog.Event {
	return catalog.Event{Type: typ, GoType: "sales." + typ, ContentType: "application/json", Published: true, Schema: json.RawMessage(head + schema),
		Key: catalog.Key{Source: catalog.KeyFromFunction, Examples: []string{"id-1", "id-2"}}}
}

type edit = func(*catalog.Topic)

// schema replaces parts of the schema, one pair after another.
func schema(pairs ...string) edit {
	return func(t *catalog.Topic) {
		s := string(t.Events[0].Schema)
		for left := pairs; len(left) > 0; left = left[2:] {
			if !strings.Contains(s, left[0]) {
				panic(left[0] + " is not in the schema")
			}
			s = strings.Replace(s, left[0], left[1], 1)
		}
		t.Events[0].Schema = json.RawMessage(s)
	}
}

func both(edits ...edit) edit {
	return func(t *catalog.Topic) {
		for _, e := range edits {
			e(t)
		}
	}
}

// changes lists changes with their rules and levels. before is applied to both
// documents.
var changes = []struct {
	name           string
	before, change edit
	rule           string
	level          catalog.Level
}{
	{"owner", nil, func(t *catalog.Topic) { t.Owner = "crm" }, "owner-changed", catalog.Safe},
	{"partitions raised", nil, func(t *catalog.Topic) { t.Partitions = 12 }, "partitions-raised", catalog.Dangerous},
	{"partitions raised without keys", func(t *catalog.Topic) {
		for i := range t.Events {
			t.Events[i].Key = catalog.Key{Source: catalog.NoKey}
		}
	}, func(t *catalog.Topic) { t.Partitions = 12 }, "partitions-raised", catalog.Safe},
	{"another format", nil, func(t *catalog.Topic) { t.Format = "watermill" }, "format-changed", catalog.Breaking},
	{"another partitioner", nil, func(t *catalog.Topic) { t.Partitioner = "fnv1a" }, "partitioner-changed", catalog.Breaking},
	{"another name in one environment", nil, func(t *catalog.Topic) { t.Addresses = map[string]string{"prod": "orders"} }, "addresses-changed", catalog.Breaking},
	{"partitions lowered", nil, func(t *catalog.Topic) { t.Partitions = 3 }, "partitions-lowered", catalog.Breaking},
	{"partitions not declared", nil, func(t *catalog.Topic) { t.Partitions = 0 }, "partitions-unknown", catalog.Undecided},
	{"replication lowered", nil, func(t *catalog.Topic) { t.Replication = 1 }, "replication-lowered", catalog.Dangerous},
	{"replication raised", nil, func(t *catalog.Topic) { t.Replication = 5 }, "replication-raised", catalog.Safe},
	{"replication not declared", nil, func(t *catalog.Topic) { t.Replication = 0 }, "replication-unknown", catalog.Undecided},
	{"retention shortened", nil, func(t *catalog.Topic) { t.RetentionMs = 10 }, "retention-shortened", catalog.Breaking},
	{"retention bounded", func(t *catalog.Topic) { t.RetentionMs = -1 }, func(t *catalog.Topic) { t.RetentionMs = 1000 }, "retention-shortened", catalog.Breaking},
	{"retention extended", nil, func(t *catalog.Topic) { t.RetentionMs = 9000 }, "retention-extended", catalog.Safe},
	{"retention without end", nil, func(t *catalog.Topic) { t.RetentionMs = -1 }, "retention-extended", catalog.Safe},
	{"retention not declared", nil, func(t *catalog.Topic) { t.RetentionMs = 0 }, "retention-unknown", catalog.Undecided},
	{"compacted", nil, func(t *catalog.Topic) { t.Compacted = true }, "compaction-on", catalog.Breaking},
	{"no longer compacted", func(t *catalog.Topic) { t.Compacted = true }, func(t *catalog.Topic) { t.Compacted = false }, "compaction-off", catalog.Breaking},
	{"larger events", nil, config("max.message.bytes", "2000"), "config-changed", catalog.Safe},
	{"smaller events", nil, config("max.message.bytes", "500"), "config-changed", catalog.Breaking},
	{"more in sync", nil, config("min.insync.replicas", "3"), "config-changed", catalog.Dangerous},
	{"fewer in sync", nil, config("min.insync.replicas", "1"), "config-changed", catalog.Dangerous},
	{"another configuration", nil, config("segment.bytes", "9"), "config-changed", catalog.Undecided},
	{"a new configuration", nil, config("x", "9"), "config-changed", catalog.Undecided},
	{"scope narrowed", nil, func(t *catalog.Topic) { t.Scope, t.Name = "internal", "sales.internal.customers.v1" }, "scope-narrowed", catalog.Breaking},
	{"scope widened", func(t *catalog.Topic) { t.Scope, t.Name = "internal", "sales.internal.customers.v1" }, func(t *catalog.Topic) { t.Scope, t.Name = "public", "sales.public.customers.v1" }, "scope-widened", catalog.Breaking},
	{"version replaced", nil, func(t *catalog.Topic) { t.Version, t.Name = "v2", "sales.public.customers.v2" }, "version-removed", catalog.Breaking},
	{"topic replaced", nil, func(t *catalog.Topic) { t.Topic, t.Name = "clients", "sales.public.clients.v1" }, "topic-removed", catalog.Breaking},
	{"topic added", nil, func(t *catalog.Topic) { t.Topic, t.Name = "clients", "sales.public.clients.v1" }, "topic-added", catalog.Safe},
	{"group removed", nil, func(t *catalog.Topic) { t.Groups = t.Groups[:1] }, "group-removed", catalog.Safe},
	{"group added", nil, func(t *catalog.Topic) { t.Groups = append(t.Groups, "x") }, "group-added", catalog.Safe},
	{"type removed", nil, func(t *catalog.Topic) { t.Events = t.Events[:1] }, "type-removed", catalog.Breaking},
	{"type added", nil, func(t *catalog.Topic) { t.Events = append(t.Events, event("Moved", `"properties":{}}`)) }, "type-added", catalog.Safe},
	{"type renamed", nil, func(t *catalog.Topic) { t.Events[1].Type = "Erased" }, "type-renamed", catalog.Breaking},
	{"Go type renamed", nil, func(t *catalog.Topic) { t.Events[0].GoType = "sales.New" }, "go-type-changed", catalog.Safe},
	{"description", nil, func(t *catalog.Topic) { t.Events[0].Description = "x" }, "description-changed", catalog.Safe},
	{"dataschema", nil, func(t *catalog.Topic) { t.Events[0].DataSchema = "https://x" }, "dataschema-changed", catalog.Dangerous},
	{"no longer published", nil, func(t *catalog.Topic) { t.Events[0].Published = false }, "no-longer-published", catalog.Dangerous},
	{"content type", nil, func(t *catalog.Topic) { t.Events[0].ContentType = "application/avro" }, "content-type-changed", catalog.Breaking},
	{"key removed", nil, key(catalog.Key{Source: catalog.NoKey}), "key-removed", catalog.Breaking},
	{"key added", key(catalog.Key{Source: catalog.NoKey}), key(catalog.Key{Source: catalog.KeyFromMethod}), "key-added", catalog.Dangerous},
	{"key function", nil, key(catalog.Key{Source: catalog.KeyFromFunction, Examples: []string{"id-1", "age-2"}}), "key-function-changed", catalog.Breaking},
	{"key source with the same keys", nil, key(catalog.Key{Source: catalog.KeyFromMethod, Examples: []string{"id-1", "id-2"}}), "key-source-changed", catalog.Safe},
	{"key source with other keys", nil, key(catalog.Key{Source: catalog.KeyFromMethod, Examples: []string{"x", "y"}}), "key-source-changed", catalog.Breaking},
	{"key source without keys to compare", nil, key(catalog.Key{Source: catalog.KeyFromMethod}), "key-source-changed", catalog.Undecided},
	{"key fields", key(catalog.Key{Source: catalog.KeyFromFields, Fields: []string{"A"}}), key(catalog.Key{Source: catalog.KeyFromFields, Fields: []string{"A", "B"}}), "key-fields-changed", catalog.Breaking},
	{"another number of examples", nil, key(catalog.Key{Source: catalog.KeyFromFunction, Examples: []string{"id-1"}}), "key-examples-changed", catalog.Undecided},
	{"schema lost", nil, func(t *catalog.Topic) { t.Events[0].Schema = nil }, "schema-removed", catalog.Undecided},
	{"schema gained", func(t *catalog.Topic) { t.Events[0].Schema = nil }, func(t *catalog.Topic) { t.Events[0].Schema = event("", `"properties":{}}`).Schema }, "schema-added", catalog.Safe},
	{"a schema in Avro", func(t *catalog.Topic) { t.Events[0].Schema = json.RawMessage(`{"type":"record"}`) }, func(t *catalog.Topic) { t.Events[0].Schema = json.RawMessage(`{"type":"enum"}`) }, "schema-changed", catalog.Undecided},
	{"field removed", nil, schema(`"age":{"type":"integer","format":"int32"},`, ``), "field-removed", catalog.Breaking},
	{"field renamed", nil, schema(`"age":`, `"years":`), "field-renamed", catalog.Breaking},
	{"field added", nil, schema(`"age":`, `"new":{"type":"boolean"},"age":`), "field-added", catalog.Safe},
	{"required field added", nil, both(schema(`"age":`, `"new":{"type":"boolean"},"age":`), schema(`["id"]`, `["id","new"]`)), "required-field-added", catalog.Breaking},
	{"field retyped", nil, schema(`"type":"integer","format":"int32"`, `"type":"string"`), "field-retyped", catalog.Breaking},
	{"integer to number", nil, schema(`"type":"integer","minimum"`, `"type":"number","minimum"`), "field-retyped", catalog.Breaking},
	{"one to many", nil, schema(`"mail":{"type":"string"`, `"mail":{"type":"array"`), "field-retyped", catalog.Breaking},
	{"one of several types to another", schema(`"any":{}`, `"any":{"type":["string","boolean"]}`), schema(`"any":{"type":["string"`, `"any":{"type":["integer"`), "field-retyped", catalog.Breaking},
	{"any to something", nil, schema(`"any":{}`, `"any":{"type":"string"}`), "type-unknown", catalog.Undecided},
	{"required set", nil, schema(`["id"]`, `["age","id"]`), "required-set", catalog.Breaking},
	{"required dropped", nil, schema(`["id"]`, `[]`), "required-dropped", catalog.Breaking},
	{"null added", nil, schema(`"id":{"type":"string"}`, `"id":{"type":["string","null"]}`), "null-added", catalog.Dangerous},
	{"null removed", nil, schema(`["string","null"]`, `"string"`), "null-removed", catalog.Dangerous},
	{"a reference may be null", nil, schema(`{"$ref":"#/$defs/Addr"}}`, `{"anyOf":[{"$ref":"#/$defs/Addr"},{"type":"null"}]}}`), "null-added", catalog.Dangerous},
	{"format widened", nil, schema(`"int32"`, `"int64"`), "format-widened", catalog.Dangerous},
	{"format narrowed", nil, schema(`"int32"`, `"int8"`), "format-narrowed", catalog.Breaking},
	{"format of one width", schema(`"int32"`, `"int64"`), schema(`"int64"`, `"int"`), "format-changed", catalog.Safe},
	{"format set", nil, schema(`"id":{"type":"string"}`, `"id":{"type":"string","format":"uuid"}`), "format-narrowed", catalog.Breaking},
	{"format dropped", nil, schema(`,"format":"date-time"`, ``), "format-changed", catalog.Breaking},
	{"encoding", nil, schema(`,"contentEncoding":"base64"`, ``), "encoding-changed", catalog.Breaking},
	{"enum value added", nil, schema(`["red","blue"]`, `["red","blue","green"]`), "enum-value-added", catalog.Breaking},
	{"enum value removed", nil, schema(`["red","blue"]`, `["red"]`), "enum-value-removed", catalog.Breaking},
	{"enum set", nil, schema(`"id":{"type":"string"}`, `"id":{"type":"string","enum":["x"]}`), "enum-set", catalog.Breaking},
	{"enum dropped", nil, schema(`,"enum":["red","blue"]`, ``), "enum-removed", catalog.Breaking},
	{"const", nil, schema(`{"const":"a"}`, `{"const":"b"}`), "const-changed", catalog.Breaking},
	{"minimum raised", nil, schema(`"minimum":1`, `"minimum":2`), "bound-narrowed", catalog.Breaking},
	{"minimum lowered", nil, schema(`"minimum":1`, `"minimum":0`), "bound-widened", catalog.Dangerous},
	{"maximum lowered", nil, schema(`"maximum":9`, `"maximum":8`), "bound-narrowed", catalog.Breaking},
	{"maximum dropped", nil, schema(`,"maximum":9`, ``), "bound-widened", catalog.Dangerous},
	{"elements retyped", nil, schema(`"items":{"type":"string"}`, `"items":{"type":"integer"}`), "field-retyped", catalog.Breaking},
	{"values of a map retyped", nil, schema(`"additionalProperties":{"type":"string"}`, `"additionalProperties":{"type":"integer"}`), "field-retyped", catalog.Breaking},
	{"a map closed", nil, schema(`"additionalProperties":{"type":"string"}`, `"additionalProperties":false`), "closed", catalog.Breaking},
	{"a field of a nested type", nil, schema(`"zip":{"type":"string"}`, `"zip":{"type":"integer"}`), "field-retyped", catalog.Breaking},
	{"doc", nil, schema(`"where to write"`, `"whom to write to"`), "doc-changed", catalog.Safe},
	{"personal data", nil, schema(`"id":{"type":"string"}`, `"id":{"type":"string","x-eventbus-personal":true}`), "personal-data-added", catalog.Dangerous},
	{"no personal data any more", nil, schema(`"x-eventbus-personal":true,`, ``), "personal-data-removed", catalog.Undecided},
	{"a new field with personal data", nil, schema(`"age":`, `"born":{"type":"string","x-eventbus-personal":true},"age":`), "personal-data-added", catalog.Dangerous},
	{"an unknown keyword", nil, schema(`"id":{"type":"string"}`, `"id":{"type":"string","pattern":"^a"}`), "keyword-changed", catalog.Undecided},
	{"an enum of objects", schema(`{"const":"a"}`, `{"enum":[{"a":1},["b"]]}`), schema(`["b"]`, `["c"]`), "enum-value-added", catalog.Breaking},
	{"a field required that nothing else is said of", nil, schema(`["id"]`, `["id","other"]`), "required-set", catalog.Breaking},
	{"a field no longer required that nothing else is said of", schema(`["id"]`, `["id","other"]`), schema(`["id","other"]`, `["id"]`), "required-dropped", catalog.Breaking},
	{"a field of a type that holds itself or null", holdsItself, schema(`"zip":{"type":"string"}`, `"zip":{"type":"integer"}`), "field-retyped", catalog.Breaking},
	{"personal data beside a type that is used twice", second(`,"x-eventbus-personal":true`), schema(`Addr","x-eventbus-personal":true`, `Addr"`), "personal-data-removed", catalog.Undecided},
	{"personal data beside a choice that is used twice", both(holdsItself, schema(`"addr":{"$ref":"#/$defs/Addr"}`, `"addr":{"$ref":"#/$defs/Addr"},"home":{"anyOf":[{"$ref":"#/$defs/Addr"},{"type":"null"}],"x-eventbus-personal":true}`)), schema(`],"x-eventbus-personal":true`, `]`), "personal-data-removed", catalog.Undecided},
	{"a number of many digits", schema(`{"const":"a"}`, `{"enum":[9007199254740993]}`), schema(`9007199254740993`, `9007199254740992`), "enum-value-added", catalog.Breaking},
	{"a bound of many digits", schema(`"maximum":9`, `"maximum":9007199254740993`), schema(`9007199254740993`, `9007199254740992`), "bound-narrowed", catalog.Breaking},
	{"a bound beyond all numbers", schema(`"maximum":9`, `"maximum":1e999999999`), schema(`1e999999999`, `8`), "bound-narrowed", catalog.Breaking},
	{"what a reference to a reference leads to", schema(`{"$ref":"#/$defs/Addr"}}`, `{"$ref":"#/$defs/Via"}}`, `"$defs":{`, `"$defs":{"Via":{"$ref":"#/$defs/Addr"},`), schema(`"zip":{"type":"string"}`, `"zip":{"type":"integer"}`), "field-retyped", catalog.Breaking},
	{"what alternatives refer to", schema(`"addr":{"$ref":"#/$defs/Addr"}`, `"addr":{"oneOf":[{"$ref":"#/$defs/Addr"}]}`), schema(`"zip":{"type":"string"}`, `"zip":{"type":"integer"}`), "keyword-changed", catalog.Undecided},
	{"what parts of parts refer to", schema(`"addr":{"$ref":"#/$defs/Addr"}`, `"addr":{"patternProperties":{"^a":{"allOf":[{"$ref":"#/$defs/Via"}]}}}`, `"$defs":{`, `"$defs":{"Via":{"items":{"$ref":"#/$defs/Addr"}},`),
		schema(`"zip":{"type":"string"}`, `"zip":{"type":"integer"}`), "keyword-changed", catalog.Undecided},
	{"what a tuple refers to", schema(`"items":{"type":"string"}`, `"items":[{"$ref":"#/$defs/Addr"}]`, `,"addr":{"$ref":"#/$defs/Addr"}`, ``), schema(`"zip":{"type":"string"}`, `"zip":{"type":"integer"}`), "keyword-changed", catalog.Undecided},
	{"what a reference by another path leads to", schema(`"addr":{"$ref":"#/$defs/Addr"}`, `"addr":{"$ref":"#/$defs/Addr/properties/zip"}`), schema(`"zip":{"type":"string"}`, `"zip":{"type":"integer"}`), "keyword-changed", catalog.Undecided},
	{"a field that takes any value", schema(`"any":{}`, `"any":true`), schema(`"any":true`, `"any":false`), "type-unknown", catalog.Undecided},
	{"a field beside one that takes any value", schema(`"any":{}`, `"any":true`), schema(`"age":`, `"new":{"type":"boolean"},"age":`), "field-added", catalog.Safe},
	{"keywords of no sense", schema(`"any":{}`, `"any":{"description":[],"format":[],"contentEncoding":{},"x-eventbus-personal":[]}`), schema(`"age":`, `"new":{"type":"boolean"},"age":`), "field-added", catalog.Safe},
	{"alternatives", nil, schema(`"any":{}`, `"any":{"anyOf":[{"type":"string"},{"type":"integer"}]}`), "keyword-changed", catalog.Undecided},
}

// holdsItself lets an address contain another one, or null.
var holdsItself = schema(`"next":{"$ref":"#/$defs/Addr"}`, `"next":{"anyOf":[{"$ref":"#/$defs/Addr"},{"type":"null"}]}`)

// second adds a second address, with keywords beside its reference.
func second(keywords string) edit {
	return schema(`"addr":{"$ref":"#/$defs/Addr"}`, `"addr":{"$ref":"#/$defs/Addr"},"home":{"$ref":"#/$defs/Addr"`+keywords+`}`)
}

func config(name, value string) edit {
	return func(t *catalog.Topic) { t.Configs[name] = value }
}

func key(k catalog.Key) edit { return func(t *catalog.Topic) { t.Events[0].Key = k } }

// badArticle finds a before a vowel or a list; one begins with a consonant.
var badArticle = regexp.MustCompile(`\b[aA] ([aeiAEI\[]|o[^n])`)

func TestCompare(t *testing.T) {
	t.Parallel()
	if got := catalog.Compare(base(), base()); len(got) != 0 {
		t.Errorf("no change: %v", got)
	}
	// The same numbers, written in another way.
	for _, pair := range [][2]string{{`1.0`, `1`}, {`1e2`, `100`}, {`0.10`, `0.1`}, {`-0.0`, `0`}, {`1e999999999`, `1e999999999`}} {
		number := schema(`{"const":"a"}`, `{"enum":["NUMBER"],"multipleOf":"NUMBER"}`)
		old, now := base(), base()
		for i, d := range []*catalog.Document{old, now} {
			number(&d.Topics[0])
			d.Topics[0].Events[0].Schema = json.RawMessage(strings.ReplaceAll(string(d.Topics[0].Events[0].Schema), `"NUMBER"`, pair[i]))
		}
		if got := catalog.Compare(old, now); len(got) != 0 {
			t.Errorf("%s and %s: %v", pair[0], pair[1], got)
		}
	}
	if len(changes) < 60 {
		t.Errorf("the table has %d changes", len(changes))
	}
	for _, c := range changes {
		old, now := base(), base()
		if c.before != nil {
			c.before(&old.Topics[0])
			c.before(&now.Topics[0])
		}
		c.change(&now.Topics[0])
		got := catalog.Compare(old, now)
		var found *catalog.Change
		for i := range got {
			if got[i].Rule == c.rule {
				found = &got[i]
			}
		}
		switch {
		case found == nil || found.Level != c.level:
			t.Errorf("%s: %v, want %s as %s", c.name, got, c.rule, c.level)
		case badArticle.MatchString(found.Why):
			t.Errorf("%s: %s", c.name, found)
		case found.Why == "" || found.Level != catalog.Safe && (found.Groups == nil || found.Fix == ""):
			t.Errorf("%s does not say why, who, or what to do: %s", c.name, found)
		}
		fails := len(catalog.Failing(got, catalog.Breaking)) > 0
		if want := c.level == catalog.Breaking || c.level == catalog.Undecided; fails != want && c.rule != "topic-added" {
			t.Errorf("%s: fails %t, want %t: %v", c.name, fails, want, got)
		}
	}
}

// What changed is said in words that people use.
func TestChangesInWords(t *testing.T) {
	t.Parallel()
	const day = 24 * 60 * 60 * 1000
	for want, c := range map[string][2]edit{
		"(7 days → 1 day)":                   {func(t *catalog.Topic) { t.RetentionMs = 7 * day }, func(t *catalog.Topic) { t.RetentionMs = day }},
		"(no limit → 36h0m0s)":               {func(t *catalog.Topic) { t.RetentionMs = -1 }, func(t *catalog.Topic) { t.RetentionMs = day * 3 / 2 }},
		"(the broker's default → 1.5s)":      {func(t *catalog.Topic) { t.RetentionMs = 0 }, func(t *catalog.Topic) { t.RetentionMs = 1500 }},
		"(where to write → nothing)":         {func(*catalog.Topic) {}, schema(`,"description":"where to write"`, ``)},
		"can't read an integer, nor":         {func(*catalog.Topic) {}, schema(`"id":{"type":"string"`, `"id":{"type":"integer"`)},
		"can't read one of [integer string]": {schema(`"any":{}`, `"any":{"type":["string","boolean"]}`), schema(`"any":{"type":["string","boolean"]}`, `"any":{"type":["integer","string"]}`)},
	} {
		old, now := base(), base()
		c[0](&old.Topics[0])
		c[0](&now.Topics[0])
		c[1](&now.Topics[0])
		if got := catalog.Compare(old, now); len(got) == 0 || !strings.Contains(fmt.Sprint(got), want) {
			t.Errorf("%v; want %s", got, want)
		}
	}
}

type holds[T any] struct {
	X T `json:"x"`
}

func holding[T any](t *testing.T) *catalog.Document {
	t.Helper()
	d, err := catalog.Of(eventbus.NewTopic(eventbus.TopicConfig[holds[T]]{Domain: "sales", Name: "thing", Type: "T", Unkeyed: true}))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestCompareTypesOfGo: encoding/json writes two types alike, but only one of them can
// read the data of both.
func TestCompareTypesOfGo(t *testing.T) {
	t.Parallel()
	for name, pair := range map[string][2]*catalog.Document{
		"numbers as keys":    {holding[map[int]string](t), holding[map[string]string](t)},
		"text as keys":       {holding[map[string]string](t), holding[map[uint8]string](t)},
		"smaller keys":       {holding[map[int64]string](t), holding[map[int8]string](t)},
		"a smaller float":    {holding[float64](t), holding[float32](t)},
		"any number instead": {holding[float64](t), holding[json.Number](t)},
	} {
		if changes := catalog.Compare(pair[0], pair[1]); len(catalog.Failing(changes, catalog.Breaking)) == 0 {
			t.Errorf("%s: %v", name, changes)
		}
	}
	if changes := catalog.Compare(holding[float32](t), holding[float64](t)); len(changes) == 0 || changes[0].Level != catalog.Dangerous {
		t.Errorf("a larger float: %v", changes)
	}
}

func TestAllowances(t *testing.T) {
	t.Parallel()
	all, err := catalog.ReadAllowances(strings.NewReader("# comment\n\nsales.public.customers.v1 partitions-lowered 2026-11-26 it was empty\nx y 2026-01-02 z\n"))
	if err != nil || len(all) != 2 || all[0].Date != time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC) {
		t.Fatalf("%+v, %v", all, err)
	}
	now := base()
	now.Topics[0].Partitions = 1
	changes := catalog.Compare(base(), now)
	unused := catalog.Allow(changes, all)
	if len(unused) != 1 || unused[0].Path != "x" || len(catalog.Failing(changes, catalog.Dangerous)) != 0 || !strings.Contains(changes[0].String(), "Allowed: it was empty (2026-11-26)") {
		t.Errorf("%v, unused %v", changes, unused)
	}
	spaced, err := catalog.ReadAllowances(strings.NewReader("topic/Type/e mail field-renamed 2026-01-02 until 2026-02-03\n"))
	if err != nil || len(spaced) != 1 || spaced[0].Path != "topic/Type/e mail" || spaced[0].Rule != "field-renamed" || spaced[0].Reason != "until 2026-02-03" {
		t.Errorf("a path with a space: %+v, %v", spaced, err)
	}
	if _, err := catalog.ReadAllowances(strings.NewReader("a b\na b yesterday c\n")); err == nil || !strings.Contains(err.Error(), "line 1: write path") || !strings.Contains(err.Error(), `line 2: "yesterday" is not a date`) {
		t.Errorf("%v", err)
	}
}
