//go:build integration

package interop

import (
	"os/exec"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/avro"
	"github.com/eventbus-go/eventbus/schema/internal/testdata/orders"
	"github.com/eventbus-go/eventbus/schema/jsonschema"
	"github.com/eventbus-go/eventbus/schema/protobuf"
	"github.com/eventbus-go/eventbus/schema/registry"
)

type (
	personV1 struct {
		ID   string `avro:"id" json:"id"`
		Name string `avro:"name" json:"name,omitempty"`
	}
	personV2 struct {
		ID   string `avro:"id" json:"id"`
		Name string `avro:"name" json:"name,omitempty"`
		Mail string `avro:"mail" json:"mail,omitempty"`
	}
)

const (
	personAvro1 = `{"type":"record","name":"Person","namespace":"sales","fields":[{"name":"id","type":"string"},{"name":"name","type":"string","default":"?"}]}`
	personAvro2 = `{"type":"record","name":"Person","namespace":"sales","fields":[{"name":"id","type":"string"},{"name":"name","type":"string","default":"?"},{"name":"mail","type":"string","default":"none"}]}`
	personJSON1 = `{"$schema":"http://json-schema.org/draft-07/schema#","title":"Person","type":"object","properties":{"id":{"type":"string"},"name":{"type":"string"}},"required":["id"]}`
	personJSON2 = `{"$schema":"http://json-schema.org/draft-07/schema#","title":"Person","type":"object","properties":{"id":{"type":"string"},"name":{"type":"string"},"mail":{"type":"string"}},"required":["id"]}`
)

// demand sets the compatibility of a subject.
func demand(t *testing.T, subject, level string) {
	t.Helper()
	set := exec.CommandContext(t.Context(), "curl", "--silent", "--fail", "-X", "PUT", "-H", "Content-Type: application/json", "-d", `{"compatibility":"`+level+`"}`, address(t)+"/config/"+subject)
	if out, err := set.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// Two versions of a service, each with its own Registry, read each other's events in
// every framing.
func TestEvolution(t *testing.T) {
	for _, c := range []struct {
		name, level, record, mail string
		v1, v2                    func(f registry.Framing, r *registry.Registry) eventbus.Codec
	}{
		{"avro", "FULL", "sales.Person", "none",
			func(f registry.Framing, r *registry.Registry) eventbus.Codec {
				return avro.Codec[personV1](r, f, personAvro1, registry.Register())
			},
			func(f registry.Framing, r *registry.Registry) eventbus.Codec {
				return avro.Codec[personV2](r, f, personAvro2, registry.Register())
			}},
		{"json", "FORWARD", "Person", "", // Apicurio considers an added field a narrowing of the open content
			func(f registry.Framing, r *registry.Registry) eventbus.Codec {
				return jsonschema.Codec[personV1](r, f, personJSON1, registry.Register())
			},
			func(f registry.Framing, r *registry.Registry) eventbus.Codec {
				return jsonschema.Codec[personV2](r, f, personJSON2, registry.Register())
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			topic := topicName(t)
			encode(t, c.v1(registry.Prefix, open(t)), topic, &personV1{})
			demand(t, topic+"-"+c.record, c.level)
			for _, framing := range []registry.Framing{registry.Header, registry.Prefix} {
				old, now := c.v1(framing, open(t)), c.v2(framing, open(t))
				var read1 personV1
				var read2 personV2
				if err := now.Decode(t.Context(), encode(t, old, topic, &personV1{"c-1", "Ada"}), &read2); err != nil || read2 != (personV2{"c-1", "Ada", c.mail}) {
					t.Errorf("%s: new reads old: %+v, %v", framing, read2, err)
				}
				if err := old.Decode(t.Context(), encode(t, now, topic, &personV2{"c-2", "Bob", "b@x"}), &read1); err != nil || read1 != (personV1{"c-2", "Bob"}) {
					t.Errorf("%s: old reads new: %+v, %v", framing, read1, err)
				}
			}
		})
	}
}

// A message has an older schema, which lacks fields of the Go type, and a newer one
// with more fields, in which it is also at another place in its file.
func TestEvolutionOfProtobuf(t *testing.T) {
	r, topic := open(t), topicName(t)
	subject := topic + "-shop.OrderPlaced"
	for _, v := range []struct {
		text, data string // after the indexes
		want       *orders.OrderPlaced
	}{
		{`syntax = "proto3"; package shop; message OrderPlaced { string order_id = 1; }`, "\x0a\x03o-1", &orders.OrderPlaced{OrderId: "o-1"}},
		{`syntax = "proto3"; package shop; message OrderPlaced { string order_id = 1; string added = 99; }`, "\x0a\x03o-2\x9a\x06\x03new", &orders.OrderPlaced{OrderId: "o-2"}},
	} {
		s, err := r.Register(t.Context(), subject, registry.Definition{Type: registry.Protobuf, Text: v.text}, false)
		if err != nil {
			t.Fatal(err)
		}
		demand(t, subject, "BACKWARD") // Apicurio does not consider an added field forward compatible
		for _, framing := range []registry.Framing{registry.Header, registry.Prefix} {
			c := protobuf.Codec[*orders.OrderPlaced](open(t), framing, registry.UseLatest())
			in := &eventbus.Envelope{Topic: topic, Data: append(registry.AppendPrefix(nil, s.ID, []byte{0}), v.data...)}
			var got orders.OrderPlaced
			err := c.Decode(t.Context(), in, &got)
			got.ProtoReflect().SetUnknown(nil) // where an unknown field is kept
			if err != nil || !proto.Equal(&got, v.want) {
				t.Errorf("%s reads version %d: %v, %v", framing, s.Version, &got, err)
			}
			// What the codec writes with that version can be read back.
			e := encode(t, c, topic, v.want)
			var back orders.OrderPlaced
			if err := protobuf.Codec[*orders.OrderPlaced](open(t), registry.Header).Decode(t.Context(), e, &back); err != nil || !proto.Equal(&back, v.want) {
				t.Errorf("%s writes by version %d: %v, %v", framing, s.Version, &back, err)
			}
		}
	}
}
