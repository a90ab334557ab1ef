package untyped_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/avro"
	"github.com/eventbus-go/eventbus/schema/internal/testdata/orders"
	"github.com/eventbus-go/eventbus/schema/jsonschema"
	"github.com/eventbus-go/eventbus/schema/protobuf"
	"github.com/eventbus-go/eventbus/schema/registry"
	"github.com/eventbus-go/eventbus/schema/untyped"
)

const topicName = "dev.shop.public.orders.v1"

type paid struct {
	ID    string    `avro:"id" json:"id"`
	Cents int64     `avro:"cents" json:"cents"`
	At    time.Time `avro:"at" json:"at"`
	Note  *string   `avro:"note" json:"note"`
}

const (
	paidAvro = `{"type":"record","name":"Paid","namespace":"shop","fields":[{"name":"id","type":"string"},{"name":"cents","type":"long"},
		{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"note","type":["null","string"]}]}`
	paidJSON = `{"title":"Paid","type":"object"}`
)

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

func encode(t *testing.T, c eventbus.Codec, v any) *eventbus.Envelope {
	t.Helper()
	e := &eventbus.Envelope{Topic: topicName}
	data, err := c.Encode(t.Context(), nil, e, v)
	if err != nil {
		t.Fatal(err)
	}
	e.Data = data
	return e
}

func TestRead(t *testing.T) {
	t.Parallel()
	_, r := fakeRegistry(t)
	reader := untyped.New(r)
	p := &paid{"p-1", 995, time.UnixMilli(1700000000000).UTC(), nil}
	placed := &orders.OrderPlaced{OrderId: "o-1", Total: &orders.Money{Currency: "EUR", Cents: 995}, PlacedAt: timestamppb.New(p.At), Labels: map[string]string{"a": "b"}}
	cancelled := &orders.Order_Cancelled{OrderId: "o-1", Reason: "late"}
	for _, framing := range []registry.Framing{registry.Header, registry.Prefix, registry.None} {
		for _, c := range []struct {
			codec  eventbus.Codec
			v      any
			record string
			want   []string
		}{
			{avro.Codec[paid](r, framing, paidAvro, registry.Register()), p, "shop.Paid", []string{`"id":"p-1"`, `"cents":995`, `"note":null`, `"at":1700000000000`}},
			{jsonschema.Codec[paid](r, framing, paidJSON, registry.Register()), p, "", []string{`"cents":995`}},
			{protobuf.Codec[*orders.OrderPlaced](r, framing, registry.Register()), placed, "shop.OrderPlaced", []string{`"orderId":"o-1"`, `"currency":"EUR"`, `"placedAt":"2023-11-14T22:13:20Z"`, `"a":"b"`}},
			{protobuf.Codec[*orders.Order_Cancelled](r, framing, registry.Register()), cancelled, "shop.Order.Cancelled", []string{`"reason":"late"`}},
		} {
			e := encode(t, c.codec, c.v)
			e.Type = c.record[strings.LastIndexByte(c.record, '.')+1:]
			got, err := reader.Read(t.Context(), e)
			if framing == registry.None && c.v == any(cancelled) { // nothing names a nested message
				if err == nil || !strings.Contains(err.Error(), "names no message") {
					t.Errorf("%+v, %v", got, err)
				}
				continue
			}
			if err != nil || got == nil || got.Record != c.record || got.Schema == nil {
				t.Errorf("%s %s: %+v, %v", framing, c.record, got, err)
				continue
			}
			for _, want := range c.want {
				if !strings.Contains(string(got.JSON), want) {
					t.Errorf("%s %s: %s, want %s in it", framing, c.record, got.JSON, want)
				}
			}
		}
	}
}

func TestEventsWithoutASchema(t *testing.T) {
	t.Parallel()
	_, r := fakeRegistry(t)
	reader := untyped.New(r)
	for _, data := range []string{"", `{"a":1}`, "\x00", "\x00\x00\x00\x00\x63more", "text"} {
		if got, err := reader.Read(t.Context(), &eventbus.Envelope{Data: []byte(data)}); got != nil || err != nil {
			t.Errorf("%q: %+v, %v", data, got, err)
		}
	}
}

// Hostile schemas and data are errors.
func TestHostile(t *testing.T) {
	t.Parallel()
	fake, r := fakeRegistry(t)
	reader := untyped.New(r)
	decimals := `{"type":"bytes","logicalType":"decimal","precision":60000,"scale":60000}`
	cases := []struct {
		kind         sr.SchemaType
		schema, data string
		want         string
	}{
		{sr.TypeAvro, `{"type":"array","items":{"type":"array","items":"null"}}`, "\x02\x80\x40\x00\x00", "take no byte"},
		{sr.TypeAvro, `{"type":"record","name":"A","fields":[{"name":"e","type":{"type":"record","name":"E","fields":[]}},{"name":"l","type":{"type":"array","items":"E"}}]}`, "\x00", "take no byte"},
		{sr.TypeAvro, decimals, "\x02\x01", "60000 digits"},
		{sr.TypeAvro, `"string"`, "\x04a", ""},
		{sr.TypeAvro, `"int"`, "\x02\x02", "left after"},
		{sr.TypeAvro, `{"type":"recor`, "", "can't be used"},
		{sr.TypeProtobuf, `syntax = "proto3"; import "nowhere.proto"; message M {}`, "\x00", "can't be used"},
		{sr.TypeProtobuf, `syntax = "proto3"; message M { string s = 1; }`, "\x0c\x00", "malformed"},
		{sr.TypeProtobuf, `syntax = "proto3"; message M { string s = 1; }`, "\x02\x08", "no message at the indexes [4]"},
		{sr.TypeProtobuf, `syntax = "proto3"; message M { string s = 1; }`, "\x00\xff", ""},
		{sr.TypeJSON, `{}`, "\xff", "not JSON"},
	}
	fake.Intercept(func(w http.ResponseWriter, req *http.Request) bool { // the fake refuses such schemas
		n, err := strconv.Atoi(path.Base(req.URL.Path))
		if err != nil {
			return false
		}
		_, _ = fmt.Fprintf(w, `{"schema":%q,"schemaType":%q}`, cases[n-1].schema, cases[n-1].kind)
		return true
	})
	for i, c := range cases {
		id := i + 1
		got, err := reader.Read(t.Context(), &eventbus.Envelope{Data: append(registry.AppendPrefix(nil, id, nil), c.data...)})
		if err == nil || !strings.Contains(err.Error(), c.want) || got == nil || got.ID.Number != id || got.JSON != nil {
			t.Errorf("%s %q: %+v, %v, want %q", c.schema, c.data, got, err, c.want)
		}
	}
}

// A registry that is down is asked only from time to time, not for every event.
func TestRegistryDown(t *testing.T) {
	t.Parallel()
	fake, r := fakeRegistry(t)
	var calls atomic.Int32
	fake.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		calls.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
		return true
	})
	reader := untyped.New(r)
	for id := range 20 {
		got, err := reader.Read(t.Context(), &eventbus.Envelope{Data: registry.AppendPrefix(nil, id+1, nil)})
		if err == nil || got == nil || got.ID.Number != id+1 || !strings.Contains(err.Error(), "500") {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if n := calls.Load(); n > 5 { // its client retries a call
		t.Errorf("the registry was asked %d times for 20 events", n)
	}
}

// FuzzRead: whatever data says, the result is JSON or an error.
func FuzzRead(f *testing.F) {
	fake := srfake.New()
	f.Cleanup(fake.Close)
	for i, s := range []sr.Schema{
		{Schema: paidAvro},
		{Schema: `{"type":"record","name":"Tree","fields":[{"name":"s","type":"string"},{"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
			{"name":"f","type":"double"},{"name":"m","type":{"type":"map","values":["null","Tree","float"]}},{"name":"l","type":{"type":"array","items":"Tree"}}]}`},
		{Schema: `syntax = "proto3"; message Tree { string s = 1; double d = 2; map<string, Tree> m = 3; repeated Tree l = 4; bytes b = 5; }`, Type: sr.TypeProtobuf},
		{Schema: `{}`, Type: sr.TypeJSON},
	} {
		fake.SeedSchema(fmt.Sprint("s", i), 1, i+1, s)
	}
	r, err := registry.New(registry.Config{URLs: []string{fake.URL()}})
	if err != nil {
		f.Fatal(err)
	}
	reader := untyped.New(r)
	f.Add(uint8(0), []byte("\x06p-1\xc6\x0f\x00\x00"))
	f.Add(uint8(1), []byte("\x02\xff\x02\x01\x00\x00\x00\x00\x00\x00\xf8\x7f\x00\x00"))
	f.Add(uint8(2), []byte("\x00\x0a\x01a\x11\x00\x00\x00\x00\x00\x00\xf0\x7f"))
	f.Fuzz(func(t *testing.T, schema uint8, data []byte) {
		got, err := reader.Read(t.Context(), &eventbus.Envelope{Data: append(registry.AppendPrefix(nil, int(schema%4)+1, nil), data...)})
		if err == nil && !json.Valid(got.JSON) {
			t.Errorf("%q is read as %q", data, got.JSON)
		}
	})
}
