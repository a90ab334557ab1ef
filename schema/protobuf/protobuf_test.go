package protobuf_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/internal/testdata/orders"
	"github.com/eventbus-go/eventbus/schema/protobuf"
	"github.com/eventbus-go/eventbus/schema/registry"
)

const topicName = "dev.shop.public.orders.v1"

func placed() *orders.OrderPlaced {
	return &orders.OrderPlaced{
		OrderId: "o-1", Total: &orders.Money{Currency: "EUR", Cents: 995}, PlacedAt: timestamppb.New(time.Unix(1700000000, 1000)),
		Lines: []*orders.OrderPlaced_Line{{Sku: "a", Count: 2}, {Sku: "b", Count: 1}}, Labels: map[string]string{"x": "1", "a": "2", "m": "3"},
	}
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

func TestFramings(t *testing.T) {
	t.Parallel()
	_, r := fakeRegistry(t)
	first := encode(t, protobuf.Codec[*orders.OrderPlaced](r, registry.Prefix, registry.Register()), placed())
	nested := encode(t, protobuf.Codec[*orders.Order_Cancelled](r, registry.Prefix, registry.Register()), &orders.Order_Cancelled{OrderId: "o"})
	if id, _, _ := registry.ParseID(first.Data); id.Number == 0 || first.Data[5] != 0 || fmt.Sprintf("%x", nested.Data[5:8]) != "040200" {
		t.Errorf("indexes of the first and of a nested message: % x, % x", first.Data[:8], nested.Data[:8])
	}
	for _, writer := range []registry.Framing{registry.Header, registry.Prefix, registry.None} {
		e := encode(t, protobuf.Codec[*orders.OrderPlaced](r, writer, registry.Register()), placed())
		for _, reader := range []registry.Framing{registry.Header, registry.Prefix, registry.None} {
			var got orders.OrderPlaced
			if err := protobuf.Codec[*orders.OrderPlaced](r, reader).Decode(t.Context(), e, &got); err != nil || !proto.Equal(&got, placed()) {
				t.Errorf("%s reads %s: %v, %v", reader, writer, &got, err)
			}
		}
		again := encode(t, protobuf.Codec[*orders.OrderPlaced](r, writer, registry.Register()), placed())
		if string(again.Data) != string(e.Data) {
			t.Errorf("%s: one event has two encodings", writer)
		}
	}
	var got orders.OrderPlaced
	if err := protobuf.Codec[*orders.OrderPlaced](r, registry.Prefix).Decode(t.Context(), nested, &got); err == nil || !strings.Contains(err.Error(), "a message shop.Order.Cancelled, not shop.OrderPlaced") {
		t.Errorf("another message of the file: %v", err)
	}
}

func TestImportsAreReferences(t *testing.T) {
	t.Parallel()
	fake, r := fakeRegistry(t)
	encode(t, protobuf.Codec[*orders.OrderPlaced](r, registry.Header, registry.Register()), placed())
	s, err := r.Latest(t.Context(), topicName+"-shop.OrderPlaced")
	if err != nil || len(s.References) != 1 || s.References[0] != (registry.Reference{Name: "money.proto", Subject: "money.proto", Version: 1}) || !fake.SubjectExists("money.proto") {
		t.Errorf("%+v, %v", s, err)
	}
}

// The registry's schema may be text, with the message at another place than in T's own
// file.
func TestSchemaAsText(t *testing.T) {
	t.Parallel()
	fake, r := fakeRegistry(t)
	text := `syntax = "proto3"; package shop; message Other {} message OrderPlaced { string order_id = 1; string added = 99; }`
	fake.SeedSchema(topicName+"-shop.OrderPlaced", 1, 7, sr.Schema{Schema: text, Type: sr.TypeProtobuf})
	c := protobuf.Codec[*orders.OrderPlaced](r, registry.Prefix, registry.UseLatest())
	e := encode(t, c, &orders.OrderPlaced{OrderId: "o-1"})
	if fmt.Sprintf("%x", e.Data[:7]) != "00000000070202" {
		t.Errorf("% x", e.Data)
	}
	var got orders.OrderPlaced
	if err := c.Decode(t.Context(), e, &got); err != nil || got.GetOrderId() != "o-1" {
		t.Errorf("%v, %v", &got, err)
	}
	fake.SeedSchema(topicName+"-shop.Order.Cancelled", 1, 8, sr.Schema{Schema: text, Type: sr.TypeProtobuf})
	if err := protobuf.Codec[*orders.Order_Cancelled](r, registry.Header, registry.UseLatest()).(eventbus.CodecStarter).Start(t.Context(), topicName); err == nil || !strings.Contains(err.Error(), "no message shop.Order.Cancelled") {
		t.Errorf("a schema without the message: %v", err)
	}
}

func TestTopicsOfMessages(t *testing.T) {
	t.Parallel()
	topic := eventbus.NewTopic(eventbus.TopicConfig[*orders.OrderPlaced]{
		Domain: "shop", Name: "order", Plural: true, Codec: protobuf.Codec[*orders.OrderPlaced](nil, registry.None),
		Key: func(o *orders.OrderPlaced) string { return o.GetOrderId() },
	})
	e, err := topic.Encode(placed())
	if err != nil || e.DataContentType != "application/protobuf" || string(e.Key) != "o-1" {
		t.Fatalf("%+v, %v", e, err)
	}
	got, err := topic.Decode(e)
	if err != nil || !proto.Equal(got, placed()) {
		t.Errorf("%v, %v", got, err)
	}
	e.Data = []byte{0xff}
	if _, err := topic.Decode(e); err == nil {
		t.Error("malformed data was read")
	}
}

func FuzzDecode(f *testing.F) {
	c := protobuf.Codec[*orders.OrderPlaced](nil, registry.None)
	data, err := c.Encode(context.Background(), nil, new(eventbus.Envelope), placed())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = c.Decode(t.Context(), &eventbus.Envelope{Data: data}, new(orders.OrderPlaced))
	})
}
