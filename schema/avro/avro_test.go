package avro_test

import (
	"context"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/avro"
	"github.com/eventbus-go/eventbus/schema/registry"
	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

type created struct {
	ID     string    `avro:"customerId"`
	Orders int64     `avro:"orders"`
	Credit *big.Rat  `avro:"credit"`
	Ref    [16]byte  `avro:"ref"`
	At     time.Time `avro:"at"`
	Note   *string   `avro:"note"`
}

const schema = `{"type":"record","name":"CustomerCreated","namespace":"sales","fields":[
	{"name":"customerId","type":"string"},
	{"name":"orders","type":"long","default":0},
	{"name":"credit","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2},"default":"\u0000"},
	{"name":"ref","type":{"type":"fixed","name":"Ref","size":16,"logicalType":"uuid"},"default":"\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000"},
	{"name":"at","type":{"type":"long","logicalType":"timestamp-micros"},"default":0},
	{"name":"note","type":["null","string"],"default":null}]}`

func value() created {
	note := "hello"
	return created{ID: "c-1", Orders: 3, Credit: big.NewRat(12345, 100), Ref: [16]byte{1, 15: 2}, At: time.UnixMicro(1700000000000001).UTC(), Note: &note}
}

func same(a, b created) bool {
	return a.ID == b.ID && a.Orders == b.Orders && a.Ref == b.Ref && a.At.Equal(b.At) && *a.Note == *b.Note && a.Credit.Cmp(b.Credit) == 0
}

func fakeRegistry(t *testing.T) (*srfake.Registry, *registry.Registry) {
	t.Helper()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	r, err := registry.New(registry.Config{URLs: []string{fake.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	return fake, r
}

func topic[T any](c eventbus.Codec) *eventbus.Topic[T] {
	return eventbus.NewTopic(eventbus.TopicConfig[T]{Domain: "sales", Name: "customer", Plural: true, Type: "CustomerCreated", Codec: c})
}

// encode encodes a value like a bus, which sets the topic.
func encode[T any](t *testing.T, c eventbus.Codec, v T) (*eventbus.Envelope, error) {
	t.Helper()
	e := &eventbus.Envelope{Topic: "dev.sales.public.customers.v1", DataContentType: c.ContentType()}
	data, err := c.Encode(t.Context(), nil, e, &v)
	e.Data = data
	return e, err
}

func TestFramings(t *testing.T) {
	t.Parallel()
	_, r := fakeRegistry(t)
	own := make(map[registry.Framing]*eventbus.Envelope)
	codecs := make(map[registry.Framing]eventbus.Codec)
	for _, f := range []registry.Framing{registry.Header, registry.Prefix, registry.None} {
		codecs[f] = avro.Codec[created](r, f, schema, registry.Register())
		e, err := encode(t, codecs[f], value())
		if err != nil {
			t.Fatal(err)
		}
		own[f] = e
		if e.DataContentType != "application/avro" || !strings.HasSuffix(e.DataSchema, "/schemas/ids/1") {
			t.Errorf("%s: %+v", f, e)
		}
	}
	if e := own[registry.Header]; len(e.Headers) != 1 || e.Headers[0].Key != "__value_schema_id" || string(e.Data) != string(own[registry.None].Data) {
		t.Errorf("Header: %+v", e)
	}
	if e := own[registry.Prefix]; len(e.Headers) != 0 || string(e.Data) != "\x00\x00\x00\x00\x01"+string(own[registry.None].Data) {
		t.Errorf("Prefix: % x", e.Data)
	}
	// Every reader accepts every framing and bare values, except that None does not
	// accept Prefix.
	for reader, c := range codecs {
		for writer, e := range own {
			if reader == registry.None && writer == registry.Prefix {
				continue
			}
			var got created
			if err := c.Decode(t.Context(), e, &got); err != nil || !same(got, value()) {
				t.Errorf("%s reads %s: %+v, %v", reader, writer, got, err)
			}
		}
		var got created
		if err := c.Decode(t.Context(), &eventbus.Envelope{Data: own[registry.None].Data}, &got); err != nil || !same(got, value()) {
			t.Errorf("%s reads a bare value: %+v, %v", reader, got, err)
		}
	}
	local := avro.Codec[created](nil, registry.None, schema)
	e, err := topic[created](local).Encode(value())
	if err != nil || e.DataSchema != "" {
		t.Fatalf("%+v, %v", e, err)
	}
	if got, err := topic[created](local).Decode(e); err != nil || !same(got, value()) {
		t.Errorf("without a registry: %+v, %v", got, err)
	}
}

// The header has the GUID if the registry gives GUIDs, as Confluent's does.
func TestHeadersWithGUIDs(t *testing.T) {
	t.Parallel()
	fake, r := fakeRegistry(t)
	const guid = "0199aabb-ccdd-7eef-8123-456789abcdef"
	fake.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		answer := fmt.Sprintf(`{"id":7,"guid":%q,"subject":"s","version":1,"schema":%q}`, guid, schema)
		switch {
		case req.URL.Path == "/schemas/guids/"+guid, req.URL.Path == "/schemas/ids/7", req.Method == http.MethodPost:
			_, _ = w.Write([]byte(answer))
			return true
		}
		return false
	})
	c := avro.Codec[created](r, registry.Header, schema)
	e, err := encode(t, c, value())
	if err != nil || len(e.Headers) != 1 || fmt.Sprintf("%x", e.Headers[0].Value) != "010199aabbccdd7eef8123456789abcdef" {
		t.Fatalf("%+v, %v", e.Headers, err)
	}
	for _, header := range []string{string(e.Headers[0].Value), "\x00\x00\x00\x00\x07"} {
		var got created
		e.Headers = []transport.Header{{Key: "__value_schema_id", Value: []byte(header)}}
		if err := c.Decode(t.Context(), e, &got); err != nil || !same(got, value()) {
			t.Errorf("% x: %+v, %v", header, got, err)
		}
	}
}

type (
	v1 struct {
		ID   string `avro:"id"`
		Name string `avro:"name"`
		Age  int32  `avro:"age"`
	}
	v2 struct {
		ID   string `avro:"id"`
		Age  int64  `avro:"age"`
		Mail string `avro:"mail"`
	}
)

const (
	schema1 = `{"type":"record","name":"C","namespace":"sales","fields":[{"name":"id","type":"string"},{"name":"name","type":"string","default":"?"},{"name":"age","type":"int"}]}`
	schema2 = `{"type":"record","name":"C","namespace":"sales","fields":[{"name":"id","type":"string"},{"name":"age","type":"long"},{"name":"mail","type":"string","default":"none"}]}`
	schema3 = `{"type":"record","name":"C","namespace":"sales","fields":[{"name":"id","type":"long"}]}`
)

// TestUnitsOfTime: a time in another unit than the reader's is an error.
func TestUnitsOfTime(t *testing.T) {
	t.Parallel()
	fake, r := fakeRegistry(t)
	if err := fake.SetCompat("dev.sales.public.customers.v1-T", sr.CompatNone); err != nil {
		t.Fatal(err)
	}
	type at struct {
		At time.Time `avro:"at"`
	}
	record := func(typ string) string {
		return `{"type":"record","name":"T","fields":[{"name":"at","type":` + typ + `}]}`
	}
	millis, micros := `{"type":"long","logicalType":"timestamp-millis"}`, `{"type":"long","logicalType":"timestamp-micros"}`
	when := at{time.UnixMilli(1_700_000_000_123).UTC()}
	for _, c := range []struct {
		writer, reader string
		fails          bool
	}{{millis, micros, true}, {micros, millis, true}, {`["null",` + millis + `]`, `["null",` + micros + `]`, true}, {micros, `["null",` + micros + `]`, false}, {millis, millis, false}} {
		e, err := encode(t, avro.Codec[at](r, registry.Header, record(c.writer), registry.Register()), when)
		if err != nil {
			t.Fatal(err)
		}
		var got at
		err = avro.Codec[at](r, registry.Header, record(c.reader), registry.Register()).Decode(t.Context(), e, &got)
		if (err != nil) != c.fails || err == nil && !got.At.Equal(when.At) || err != nil && !strings.Contains(err.Error(), "field .at: it was written as timestamp-m") {
			t.Errorf("%s read as %s: %v, %v", c.writer, c.reader, got, err)
		}
	}
	// Also within recursive types, lists and maps, and by aliases.
	nested := func(name, typ string) string {
		return `{"type":"record","name":"T","fields":[{"name":"next","type":["null","T"],"default":null},{"name":"all","type":{"type":"map","values":{"type":"array","items":{"type":"record","name":"In","fields":[{"name":"` + name + `","type":` + typ + `}]}}}}]}`
	}
	type in struct {
		At time.Time `avro:"at"`
	}
	type tree struct {
		Next *tree           `avro:"next"`
		All  map[string][]in `avro:"all"`
	}
	for typ, fails := range map[string]bool{millis: false, micros: true} {
		e, err := encode(t, avro.Codec[tree](r, registry.Header, nested("at", millis), registry.Register()), tree{Next: new(tree), All: map[string][]in{"x": {{when.At}}}})
		if err != nil {
			t.Fatal(err)
		}
		var got tree
		reader := strings.Replace(nested("at", typ), `"name":"at"`, `"name":"at","aliases":["when"]`, 1)
		if err := avro.Codec[tree](r, registry.Header, reader, registry.Register()).Decode(t.Context(), e, &got); (err != nil) != fails {
			t.Errorf("%s: %+v, %v", typ, got, err)
		}
	}
}

func TestEvolution(t *testing.T) {
	t.Parallel()
	fake, r := fakeRegistry(t)
	if err := fake.SetCompat("dev.sales.public.customers.v1-sales.C", sr.CompatNone); err != nil {
		t.Fatal(err)
	}
	old := avro.Codec[v1](r, registry.Prefix, schema1, registry.Register())
	now := avro.Codec[v2](r, registry.Header, schema2, registry.Register())
	e, err := encode(t, old, v1{"c-1", "Ada", 36})
	if err != nil {
		t.Fatal(err)
	}
	var got v2
	if err := now.Decode(t.Context(), e, &got); err != nil || got != (v2{"c-1", 36, "none"}) {
		t.Errorf("new reads old: %+v, %v", got, err)
	}
	if e, err = encode(t, now, v2{"c-2", 1 << 40, "a@b"}); err != nil {
		t.Fatal(err)
	}
	var back v1
	if err := old.Decode(t.Context(), e, &back); err == nil || !strings.Contains(err.Error(), "age") {
		t.Errorf("a long into an int: %+v, %v", back, err) // Avro promotes but does not narrow
	}
	type other struct {
		ID int64 `avro:"id"`
	}
	if e, err = encode(t, avro.Codec[other](r, registry.Prefix, schema3, registry.Register()), other{7}); err != nil {
		t.Fatal(err)
	}
	if err := now.Decode(t.Context(), e, &got); err == nil || !strings.Contains(err.Error(), "schema id 3") {
		t.Errorf("another schema: %v", err)
	}
}

func TestSubjectsAndChoiceOfSchema(t *testing.T) {
	t.Parallel()
	for want, options := range map[string][]registry.Option{
		"dev.sales.public.customers.v1-sales.CustomerCreated": nil,
		"sales.public.customers.v1-sales.CustomerCreated":     {registry.OmitEnvironment()},
		"sales.CustomerCreated":                               {registry.Subjects(registry.RecordName)},
		"dev.sales.public.customers.v1-value":                 {registry.Subjects(registry.TopicName)},
	} {
		fake, r := fakeRegistry(t)
		if _, err := encode(t, avro.Codec[created](r, registry.Header, schema, options...), value()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "register it there") {
			t.Errorf("a schema that is not registered: %v", err)
		}
		if _, err := encode(t, avro.Codec[created](r, registry.Header, schema, append(options, registry.Register())...), value()); err != nil || !fake.SubjectExists(want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	fake, r := fakeRegistry(t)
	prod := avro.Codec[created](r, registry.Header, schema, registry.Register())
	if _, err := prod.Encode(t.Context(), nil, &eventbus.Envelope{Topic: "prod.sales.public.customers.v1"}, new(created)); err == nil || !strings.Contains(err.Error(), "RegisterInProduction") {
		t.Errorf("registered in production: %v", err)
	}
	fake.SeedSchema("dev.sales.public.customers.v1-sales.C", 1, 41, sr.Schema{Schema: schema1})
	fake.SeedSchema("dev.sales.public.customers.v1-sales.C", 2, 42, sr.Schema{Schema: strings.Replace(schema2, `"mail"`, `"name"`, 1)})
	for id, option := range map[string]registry.Option{"42": registry.UseLatest(), "41": registry.UseID(41)} {
		e, err := encode(t, avro.Codec[v1](r, registry.Header, schema1, option), v1{"c", "n", 1})
		if err != nil || !strings.HasSuffix(e.DataSchema, "/"+id) {
			t.Errorf("schema %s: %+v, %v", id, e, err)
		}
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	_, r := fakeRegistry(t)
	type money struct {
		Cents int64 `avro:"cents"`
	}
	type paid struct {
		Total money `avro:"total"`
	}
	const moneySchema = `{"type":"record","name":"Money","namespace":"shop","fields":[{"name":"cents","type":"long"}]}`
	const paidSchema = `{"type":"record","name":"Paid","namespace":"shop","fields":[{"name":"total","type":"shop.Money"}]}`
	refer := registry.Refer("shop.Money", "shop.Money", moneySchema)
	c := avro.Codec[paid](r, registry.Prefix, paidSchema, registry.Register(), refer)
	e, err := encode(t, c, paid{money{995}})
	if err != nil {
		t.Fatal(err)
	}
	var got paid
	if err := avro.Codec[paid](r, registry.Prefix, paidSchema, refer).Decode(t.Context(), e, &got); err != nil || got.Total.Cents != 995 {
		t.Errorf("%+v, %v", got, err)
	}
	s, err := r.Latest(t.Context(), "dev.sales.public.customers.v1-shop.Paid")
	if err != nil || len(s.References) != 1 || s.References[0].Name != "shop.Money" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestDeclarationsThatCantWork(t *testing.T) {
	t.Parallel()
	_, r := fakeRegistry(t)
	for want, declare := range map[string]func(){
		"write registry.Header":            func() { avro.Codec[created](r, 0, schema) },
		"needs a registry":                 func() { avro.Codec[created](nil, registry.Prefix, schema) },
		"the schema":                       func() { avro.Codec[created](r, registry.Header, `{"type":"recor"}`) },
		"events are records":               func() { avro.Codec[string](r, registry.Header, `"string"`) },
		"does not fit the schema":          func() { avro.Codec[v2](r, registry.Header, schema1) },
		"UseLatest and UseID are both set": func() { avro.Codec[created](r, registry.Header, schema, registry.UseLatest(), registry.UseID(1)) },
		"writes with another schema":       func() { avro.Codec[created](r, registry.Header, schema, registry.UseLatest(), registry.Register()) },
	} {
		func() {
			defer func() {
				if p := fmt.Sprint(recover()); !strings.Contains(p, want) {
					t.Errorf("%q, want %q in it", p, want)
				}
			}()
			declare()
		}()
	}
}

// While a registry is down, events with known ids are handled, the others wait, and
// none is lost.
func TestRegistryDownWhileConsuming(t *testing.T) {
	t.Parallel()
	fake, r := fakeRegistry(t)
	var down atomic.Bool
	fake.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return down.Load()
	})
	bus, err := eventbus.New(memory.New(), eventbus.Config{Service: "svc", Environment: "Development"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close(context.Background()) })
	out := topic[created](avro.Codec[created](r, registry.Header, schema, registry.Register()))
	publisher := eventbus.NewPublisher(bus, out)
	got := make(chan int64, 10)
	if err := eventbus.Subscribe(bus, out, func(_ context.Context, c created) error { got <- c.Orders; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := bus.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	v := value()
	for i := range int64(4) {
		down.Store(i >= 1 && i < 3) // the consumer has not read any when it goes down
		v.Orders = i
		if err := publisher.Publish(t.Context(), v); err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
	}
	seen := map[int64]bool{}
	for len(seen) < 4 {
		seen[<-got] = true
	}
}
