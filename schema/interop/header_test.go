//go:build integration

package interop

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr/srfake"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/avro"
	"github.com/eventbus-go/eventbus/schema/internal/testdata/orders"
	"github.com/eventbus-go/eventbus/schema/jsonschema"
	"github.com/eventbus-go/eventbus/schema/protobuf"
	"github.com/eventbus-go/eventbus/schema/registry"
	"github.com/eventbus-go/eventbus/transport"
)

// encodedFile returns a file in the form that the Python side accepts.
func encodedFile(t *testing.T, f protoreflect.FileDescriptor) string {
	t.Helper()
	raw, err := proto.Marshal(protodesc.ToFileDescriptorProto(f))
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

const customerJSON = `{"$schema":"http://json-schema.org/draft-07/schema#","title":"Customer","type":"object","properties":{"id":{"type":"string"},"count":{"type":"integer"}},"required":["id"]}`

// headerCases returns an event in each format, and one of a nested Protobuf message.
func headerCases(t *testing.T, r *registry.Registry) []headerCase {
	files := []string{encodedFile(t, orders.File_money_proto), encodedFile(t, orders.File_orders_proto)}
	note := "n"
	value := func(m proto.Message) any {
		var v any
		if err := json.Unmarshal([]byte(protojson.Format(m)), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	placed := &orders.OrderPlaced{OrderId: "o-1", Total: &orders.Money{Currency: "EUR", Cents: 995}, PlacedAt: timestamppb.New(time.Unix(1700000000, 0))}
	cancelled := &orders.Order_Cancelled{OrderId: "o-1", Reason: "late"}
	plain := map[string]any{"id": "customer-1", "count": 300}
	return []headerCase{
		{"avro", task{Format: "avro", Schema: customerAvro, Value: map[string]any{"id": "customer-1", "count": 300, "note": "n"}},
			avro.Codec[customer](r, registry.Header, customerAvro, registry.Register()), &customer{"customer-1", 300, &note}, new(customer)},
		{"json", task{Format: "json", Schema: customerJSON, Value: plain},
			jsonschema.Codec[customer](r, registry.Header, customerJSON, registry.Register()), &customer{ID: "customer-1", Count: 300}, new(customer)},
		{"protobuf", task{Format: "protobuf", Message: "shop.OrderPlaced", Files: files, Value: value(placed)},
			protobuf.Codec[*orders.OrderPlaced](r, registry.Header, registry.Register()), placed, new(orders.OrderPlaced)},
		{"nested", task{Format: "protobuf", Message: "shop.Order.Cancelled", Files: files, Value: value(cancelled)},
			protobuf.Codec[*orders.Order_Cancelled](r, registry.Header, registry.Register()), cancelled, new(orders.Order_Cancelled)},
	}
}

type headerCase struct {
	name    string
	task    task
	codec   eventbus.Codec
	v, into any
}

// same reports whether two values are equal, by their JSON unless they are messages.
func same(t *testing.T, a, b any) bool {
	t.Helper()
	if m, ok := a.(proto.Message); ok {
		return proto.Equal(m, b.(proto.Message))
	}
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && string(x) == string(y)
}

// Confluent's clients and ours exchange GUIDs in the header. The registry is a fake,
// since the real one has no GUIDs.
func TestHeaderWithGUIDs(t *testing.T) {
	fake := srfake.New()
	t.Cleanup(fake.Close)
	r, err := registry.New(registry.Config{URLs: []string{fake.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range headerCases(t, r) {
		t.Run(c.name, func(t *testing.T) {
			c.task.Topic = "dev.interop.public.headers.v1"
			e := encode(t, c.codec, c.task.Topic, c.v)
			ours := hex.EncodeToString(e.Headers[0].Value)
			if len(e.Headers) != 1 || !strings.HasPrefix(ours, "01") || len(ours) < 34 {
				t.Fatalf("header %s", ours)
			}
			out, back, nothing := c.task, c.task, ""
			out.Op, out.Header = "encode", &nothing
			back.Op, back.Value, back.Data, back.Header = "decode", nil, hex.EncodeToString(e.Data), &ours
			answers := confluent(t, fake.URL(), out, back)
			var theirs [2]string
			if err := json.Unmarshal(answers[0], &theirs); err != nil {
				t.Fatalf("%v: %s", err, answers[0])
			}
			if theirs[1] != ours || c.task.Format != "json" && theirs[0] != back.Data { // white space of JSON differs
				t.Errorf("ours   %s %s\ntheirs %s %s", ours, back.Data, theirs[1], theirs[0])
			}
			value, _ := hex.DecodeString(theirs[0])
			header, _ := hex.DecodeString(theirs[1])
			in := &eventbus.Envelope{Data: value, Headers: []transport.Header{{Key: registry.HeaderName, Value: header}}}
			if err := c.codec.Decode(t.Context(), in, c.into); err != nil || !same(t, c.v, c.into) {
				t.Errorf("reading theirs: %v, %v", c.into, err)
			}
			if !strings.Contains(string(answers[1]), "-1") {
				t.Errorf("they read %s", answers[1])
			}
		})
	}
}

// If the registry only has numbers, the header has the number, which Confluent's
// clients can read.
func TestHeaderWithNumbers(t *testing.T) {
	for _, c := range headerCases(t, open(t)) {
		t.Run(c.name, func(t *testing.T) {
			topic := topicName(t)
			e := encode(t, c.codec, topic, c.v)
			ours := hex.EncodeToString(e.Headers[0].Value)
			if !strings.HasPrefix(ours, "00") {
				t.Fatalf("header %s", ours)
			}
			back := c.task
			back.Topic, back.Op, back.Value, back.Data, back.Header = topic, "decode", nil, hex.EncodeToString(e.Data), &ours
			if answers := confluent(t, address(t), back); !strings.Contains(string(answers[0]), "-1") {
				t.Errorf("they read %s", answers[0])
			}
			if err := c.codec.Decode(t.Context(), e, c.into); err != nil || !same(t, c.v, c.into) {
				t.Errorf("%v, %v", c.into, err)
			}
		})
	}
}
