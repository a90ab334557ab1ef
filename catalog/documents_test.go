package catalog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
)

var documents = flag.String("documents", "", "a directory that AsyncAPI documents are written into, for AsyncAPI's own parser")

type (
	hostile struct {
		ID     string              `json:"a/b~c" doc:"| # <script>alert(1)</script> [x](javascript:alert(1)) ${{ }} \"quoted\""`
		Next   *hostile            `json:"next,omitempty"`
		Inner  map[string]*hostile `json:"$ref"`
		Items  []inner             `json:"items"`
		Number json.Number         `json:",omitempty"`
		Any    any                 `json:"any"`
		Raw    []byte              `json:"raw" data:"personal"`
		At     *time.Time          `json:"at" doc:"when"`
	}
	inner struct {
		Self []inner `json:"self"`
		Doc  deep    `json:"doc" doc:"a documented reference"`
	}
	deep   struct{ X [2]int8 }
	colour string
	paint  struct {
		Colour colour `json:"colour"`
	}
)

// JSONSchema says which values there are: those of an example are among them.
func (colour) JSONSchema() json.RawMessage {
	return json.RawMessage(`{"type":"string","enum":["red","blue"]}`)
}

// native is a codec with a schema of its own.
type native struct{ media, schema string }

func (c native) ContentType() string { return c.media }

func (c native) SchemaText() string { return c.schema }

func (native) Encode(_ context.Context, dst []byte, _ *eventbus.Envelope, _ any) ([]byte, error) {
	return dst, nil
}

func (native) Decode(context.Context, *eventbus.Envelope, any) error { return nil }

func hostileDocument(t *testing.T) *catalog.Document {
	t.Helper()
	d, err := catalog.Of(
		eventbus.NewTopic(eventbus.TopicConfig[hostile]{Domain: "a", Name: "b", Type: "../x y/<b>|`~0{}", Key: func(h hostile) string { return h.ID }, Partitions: 3, Replication: 3,
			Retention: time.Hour, Compacted: true, Configs: map[string]string{"max.message.bytes": "1000", "segment.ms": "5"}, Description: "First *line*.\n# no heading\n| no | table", Owner: "<team>"}),
		eventbus.NewTopic(eventbus.TopicConfig[hostile]{Domain: "a", Name: "b", Type: "__x y__b____0{}", Compacted: true, Key: func(h hostile) string { panic("a key function that fails") }}),
		eventbus.NewTopic(eventbus.TopicConfig[any]{Domain: "a", Name: "any", Type: "Any", Unversioned: true, Retention: -1}),
		eventbus.NewTopic(eventbus.TopicConfig[map[string]string]{Domain: "a", Name: "map", Type: "Map", Scope: eventbus.Internal}),
		eventbus.NewTopic(eventbus.TopicConfig[paint]{Domain: "a", Name: "paint"}),
		eventbus.NewTopic(eventbus.TopicConfig[func()]{Domain: "a", Name: "func", Type: "Func"}),
		eventbus.NewTopic(eventbus.TopicConfig[inner]{Domain: "a", Name: "native", Type: "Avro", Codec: native{"application/avro", avroBase}}),
		eventbus.NewTopic(eventbus.TopicConfig[inner]{Domain: "a", Name: "native", Type: "Protobuf", Codec: native{"application/protobuf", protobufBase}}),
		eventbus.NewTopic(eventbus.TopicConfig[inner]{Domain: "a", Name: "native", Type: "Text", Codec: native{"text/plain", "| # not *a* schema"}}),
		eventbus.NewTopic(eventbus.TopicConfig[inner]{Domain: "a", Name: "native", Type: "Draft7", Codec: native{"application/json",
			`{"$schema":"http://json-schema.org/draft-07/schema#","title":"x","properties":{"a":{"$ref":"#/definitions/A b"},"far":{"$ref":"far.json"}},"definitions":{"A b":{"type":"string"}}}`}}),
	)
	if err != nil {
		t.Fatal(err)
	}
	for i := range d.Topics {
		d.Topics[i].Groups = []string{"group-dev", "g.2"}
		for j := range d.Topics[i].Events {
			d.Topics[i].Events[j].Published = true
		}
	}
	return d
}

// make test-asyncapi validates these documents with AsyncAPI's parser. This test
// checks that their references resolve.
func TestAsyncAPI(t *testing.T) {
	for _, file := range []string{"", "../examples/quickstart/contracts/sales/catalog.json", "../examples/flights/contracts/aviation/catalog.json", "../examples/orders/shop/catalog.json", "testdata/catalog.json"} {
		d := hostileDocument(t)
		if file != "" {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d, err = catalog.Read(bytes.NewReader(text)); err != nil {
				t.Fatal(err)
			}
		}
		for _, o := range []catalog.AsyncAPIConfig{{}, {Version: "3.0.0", Environment: "Production", Servers: map[string]string{"prod": "kafka:9092"}}} {
			text, err := d.AsyncAPI(o)
			if err != nil {
				t.Fatal(err)
			}
			var doc map[string]any
			if err := json.Unmarshal(text, &doc); err != nil {
				t.Fatal(err)
			}
			checkReferences(t, doc, doc)
			if *documents != "" {
				name := strings.ReplaceAll(strings.Trim(file, "./"), "/", "-") + "-" + doc["asyncapi"].(string) + ".json"
				if err := os.WriteFile(filepath.Join(*documents, "good"+name), text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	text, err := hostileDocument(t).AsyncAPI(catalog.AsyncAPIConfig{})
	var compact bytes.Buffer
	if err == nil {
		err = json.Compact(&compact, text)
	}
	for _, want := range []string{`"schemaFormat":"application/vnd.apache.avro+json;version=1.9.0"`, `"x-eventbus-schema":{"message":"shop.Paid"`, `"x-eventbus-schema":"| # not *a* schema"`,
		`{"a":{"$ref":"#/components/schemas/a.public.native.v1.Draft7.A_b"},"far":{}}`,
		`"examples":[{"payload":{"colour":"red"}}]`, `{"colour":{"enum":["red","blue"],"type":"string"}}`,
		`"patternProperties":{"^\\$ref$":{"additionalProperties":{`} {
		if err != nil || !strings.Contains(compact.String(), want) {
			t.Errorf("%v, %s is missing", err, want)
		}
	}
	if _, err := hostileDocument(t).AsyncAPI(catalog.AsyncAPIConfig{Version: "2.6.0"}); err == nil {
		t.Error("version 2.6.0 is written")
	}
}

func checkReferences(t *testing.T, doc map[string]any, v any) {
	t.Helper()
	switch v := v.(type) {
	case map[string]any:
		if target, ok := v["$ref"].(string); ok && len(v) == 1 {
			var at any = doc
			for _, part := range strings.Split(strings.TrimPrefix(target, "#/"), "/") {
				m, _ := at.(map[string]any)
				at = m[part]
			}
			if at == nil {
				t.Errorf("%s leads nowhere", target)
			}
		}
		for _, inner := range v {
			checkReferences(t, doc, inner)
		}
	case []any:
		for _, inner := range v {
			checkReferences(t, doc, inner)
		}
	}
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	pages := hostileDocument(t).Markdown()
	if len(pages) != 7 || pages[0].Name != "index.md" {
		t.Fatalf("%d pages", len(pages))
	}
	whole := ""
	for _, p := range pages {
		whole += string(p.Content)
		if strings.ContainsAny(p.Name, "/ ") {
			t.Errorf("a page is called %q", p.Name)
		}
	}
	for _, bad := range []string{"<script", "](javascript", "\n# no heading", "\n| no |", "<team>"} {
		if strings.Contains(whole, bad) {
			t.Errorf("%q is markup in a page", bad)
		}
	}
	for _, want := range []string{"[a.public.b.v1](a.public.b.v1.md)", "| items\\[\\].self | array |", "Personal data.", "1h0m0s", "Handled by | group-dev, g.2",
		"| amount.cents | int | yes |  |", "| note | string | may be null |  |", "| kind | one of CARD CASH | yes |", "| at | timestamp-millis |", // Avro
		"| amount.cents | int32 | yes, or empty | Number 1. |", "| tags\\[\\] | string |", "| card | string | no |"} {
		if !strings.Contains(whole, want) {
			t.Errorf("%q is in no page:\n%s", want, whole)
		}
	}
}

func TestBackstageAndSchemas(t *testing.T) {
	t.Parallel()
	d := hostileDocument(t)
	entity := backstage(t, d, catalog.BackstageConfig{})
	if entity.Kind != "API" || entity.Spec.Type != "asyncapi" || !strings.Contains(entity.Spec.Definition, `"asyncapi": "3.1.0"`) {
		t.Errorf("%+v", entity)
	}
	for _, f := range d.Schemas() {
		if strings.Contains(f.Name, "..") && strings.HasPrefix(f.Name, "..") || strings.Count(f.Name, "/") != 1 || !json.Valid(f.Content) && !strings.HasSuffix(f.Name, ".txt") {
			t.Errorf("%s", f.Name)
		}
	}
}

type entity struct {
	Kind     string
	Metadata struct{ Name, Title string }
	Spec     struct{ Type, Owner, Definition string }
}

func backstage(t *testing.T, d *catalog.Document, o catalog.BackstageConfig) (e entity) {
	t.Helper()
	text, err := d.Backstage(o)
	if err == nil {
		err = json.Unmarshal(text, &e)
	}
	if err != nil {
		t.Errorf("%+v: %v", o, err)
	}
	return e
}

// Backstage refuses an entity whose name or owner has another form, and has one entity
// of a name.
func TestBackstageNamesAndOwners(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 70)
	topics := func(all ...catalog.Topic) []catalog.Topic { return all }
	for _, c := range []struct {
		document           catalog.Document
		config             catalog.BackstageConfig
		name, title, owner string
	}{
		{catalog.Document{}, catalog.BackstageConfig{}, "events", "Events", "unknown"},
		{catalog.Document{Topics: topics(catalog.Topic{Domain: "sales"}, catalog.Topic{Domain: "sales"})}, catalog.BackstageConfig{}, "sales-events", "sales events", "unknown"},
		{catalog.Document{Topics: topics(catalog.Topic{Domain: "sales"}, catalog.Topic{Domain: "shop", Owner: "<team>"})}, catalog.BackstageConfig{}, "events", "Events", "team"},
		{catalog.Document{Topics: topics(catalog.Topic{Domain: "sales"}, catalog.Topic{Address: "plain"})}, catalog.BackstageConfig{}, "events", "Events", "unknown"},
		{catalog.Document{Service: "Über/mailer", Topics: topics(catalog.Topic{Domain: "sales", Owner: "group:default/sales"}, catalog.Topic{Owner: "later"})}, catalog.BackstageConfig{}, "ber_mailer-events", "Über/mailer events", "group:default/sales"},
		{catalog.Document{Service: long, Topics: topics(catalog.Topic{Owner: "the team: sales/x"})}, catalog.BackstageConfig{}, long[:63], long + " events", "the_team__sales_x"},
		{catalog.Document{Service: "mailer", Topics: topics(catalog.Topic{Owner: "ü"})}, catalog.BackstageConfig{}, "mailer-events", "mailer events", "unknown"},
		{catalog.Document{Service: "mailer", Topics: topics(catalog.Topic{Owner: "sales"})}, catalog.BackstageConfig{Name: "Mail.v1", Owner: "user:ada", AsyncAPI: catalog.AsyncAPIConfig{Title: "Mail"}}, "Mail.v1", "Mail", "user:ada"},
	} {
		if e := backstage(t, &c.document, c.config); e.Metadata.Name != c.name || e.Metadata.Title != c.title || e.Spec.Owner != c.owner {
			t.Errorf("%+v %+v: %q %q %q", c.document, c.config, e.Metadata.Name, e.Metadata.Title, e.Spec.Owner)
		}
	}
	for want, o := range map[string]catalog.BackstageConfig{
		`name "a b"`: {Name: "a b"}, `name "x.`: {Name: "x." + long}, `name "-x"`: {Name: "-x"},
		`owner "a b"`: {Owner: "a b"}, `owner "group:"`: {Owner: "group:"}, `owner "a:b:c"`: {Owner: "a:b:c"}, `owner "/x"`: {Owner: "/x"}, `owner "a/b/c"`: {Owner: "a/b/c"},
		"2.6.0": {AsyncAPI: catalog.AsyncAPIConfig{Version: "2.6.0"}},
	} {
		if _, err := new(catalog.Document).Backstage(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	a, b := base(), base()
	a.Topics[0].Groups, b.Topics[0].Groups = []string{"x"}, []string{"y", "x"}
	a.Topics[0].Partitions = 0
	b.Topics[0].Events = b.Topics[0].Events[:1]
	a.Topics[0].Events[0].Published = false
	m, err := catalog.Merge(a, b)
	if err != nil || len(m.Topics) != 1 || strings.Join(m.Topics[0].Groups, " ") != "x y" || m.Topics[0].Partitions != 6 || len(m.Topics[0].Events) != 2 || !m.Topics[0].Events[0].Published {
		t.Errorf("%+v, %v", m, err)
	}
	// The order of the services does not matter, and nothing is lost.
	a.Topics[0].Configs, b.Topics[0].Compacted, b.Topics[0].Configs = nil, true, map[string]string{"x": "1"}
	for _, pair := range [][2]*catalog.Document{{a, b}, {b, a}} {
		if m, err := catalog.Merge(pair[0], pair[1]); err != nil || !m.Topics[0].Compacted || m.Topics[0].Configs["x"] != "1" {
			t.Errorf("%+v, %v", m, err)
		}
	}
	a.Topics[0].Configs, a.Topics[0].Events[0].Published = map[string]string{"x": "2"}, true
	for want, change := range map[string]func(*catalog.Topic){
		"x is 2 and 1": func(*catalog.Topic) {}, `format is "" and "watermill"`: func(t *catalog.Topic) { t.Format = "watermill" }, `partitioner is "" and "fnv1a"`: func(t *catalog.Topic) { t.Partitioner = "fnv1a" },
		"the content type of type Created is application/json and application/avro": func(t *catalog.Topic) { t.Events[0].ContentType = "application/avro" },
		"the key of type Created is function and none":                              func(t *catalog.Topic) { t.Events[0].Key = catalog.Key{Source: catalog.NoKey} },
	} {
		other := base()
		other.Topics[0].Configs = map[string]string{"x": "1"}
		change(&other.Topics[0])
		if _, err := catalog.Merge(a, other); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
	// The partitioner of a service that only handles events does not count.
	handles := base()
	handles.Topics[0].Partitioner = "fnv1a"
	for i := range handles.Topics[0].Events {
		handles.Topics[0].Events[i].Published, handles.Topics[0].Events[i].Key = false, catalog.Key{Source: catalog.NoKey}
	}
	also := base()
	for i := range also.Topics[0].Events {
		also.Topics[0].Events[i].Published = false
	}
	for _, all := range [][]*catalog.Document{{handles, also, base()}, {base(), handles, also}, {also, base(), handles}} {
		if m, err := catalog.Merge(all...); err != nil || m.Topics[0].Partitioner != "" || m.Topics[0].Events[0].Key.Source != catalog.KeyFromFunction {
			t.Errorf("%+v, %v", m, err)
		}
	}
	b.Topics[0].Partitions, a.Topics[0].Partitions = 7, 6
	b.Topics[0].Events[0].Schema = json.RawMessage(`{}`)
	if _, err := catalog.Merge(a, b); err == nil || !strings.Contains(err.Error(), "partitions is 6 and 7") || !strings.Contains(err.Error(), "the schema of type Created is that of ") {
		t.Errorf("%v", err)
	}
}
