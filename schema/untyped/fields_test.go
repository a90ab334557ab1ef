package untyped_test

import (
	"encoding/json"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/registry"
	"github.com/eventbus-go/eventbus/schema/untyped"
)

// TestFields: the fields of all schema languages are described alike, with the marks
// of personal data, even for recursive types.
func TestFields(t *testing.T) {
	fake, r := fakeRegistry(t)
	for id, c := range []struct {
		schema sr.Schema
		index  []byte
		data   string
		want   string
	}{
		{sr.Schema{Schema: `{"type":"record","name":"Node","namespace":"tree","fields":[{"name":"name","type":"string","x-eventbus-personal":true},{"name":"tags","type":{"type":"map","values":"int"}},
			{"name":"kind","type":{"type":"enum","name":"Kind","symbols":["A"]},"confluent:tags":["x","pii"]},{"name":"next","type":["null","Node"]}]}`}, nil, "\x02a\x00\x00\x00",
			`{"$defs":{"Kind":{"type":"string","x-eventbus-personal":true},"Node":{"properties":{"kind":{"type":"string","x-eventbus-personal":true},"name":{"type":"string","x-eventbus-personal":true},"next":{"anyOf":[{"type":"string"},{"$ref":"#/$defs/Node"}]},"tags":{"additionalProperties":{"type":"string"},"type":"object"}},"type":"object"}},"properties":["kind","name","next","tags"],"type":"object"}`},
		{sr.Schema{Type: sr.TypeProtobuf, Schema: `syntax = "proto3"; package tree; import "google/protobuf/timestamp.proto"; import "google/protobuf/struct.proto";
			message Node { string full_name = 1 [debug_redact = true]; repeated Node children = 2; map<string, Node> by_name = 3 [debug_redact = true]; google.protobuf.Timestamp at = 4; google.protobuf.Struct more = 5; }`}, []byte{0}, "",
			`{"$defs":{"tree.Node":{"properties":{"at":{"type":"string"},"byName":{"additionalProperties":{"$ref":"#/$defs/tree.Node"},"type":"object","x-eventbus-personal":true},"children":{"items":{"$ref":"#/$defs/tree.Node"},"type":"array"},"fullName":{"type":"string","x-eventbus-personal":true},"more":{}},"type":"object"}},"$ref":"#/$defs/tree.Node"}`},
		{sr.Schema{Type: sr.TypeJSON, Schema: `{"type":"object","properties":{"mail":{"type":"string","confluent:tags":["PII"]}}}`}, nil, `{"mail":"a"}`,
			`{"properties":{"mail":{"confluent:tags":["PII"],"type":"string","x-eventbus-personal":true}},"type":"object"}`},
		{sr.Schema{Type: sr.TypeJSON, Schema: `true`}, nil, `1`, `null`},
	} {
		fake.SeedSchema("s", id+1, id+1, c.schema)
		data, err := untyped.New(r).Read(t.Context(), &eventbus.Envelope{Topic: topicName, Data: append(registry.AppendPrefix(nil, id+1, c.index), c.data...)})
		if err != nil {
			t.Errorf("%d: %v", id+1, err)
			continue
		}
		f := data.Fields()
		// The definitions under the short and the full name are the same, and so is
		// the root.
		if defs, _ := f["$defs"].(map[string]any); defs["tree.Kind"] != nil {
			delete(defs, "tree.Node")
			delete(defs, "tree.Kind")
			var names []string
			for _, name := range []string{"kind", "name", "next", "tags"} {
				if f["properties"].(map[string]any)[name] != nil {
					names = append(names, name)
				}
			}
			f["properties"] = names
		}
		got, err := json.Marshal(f)
		if err != nil || string(got) != c.want {
			t.Errorf("%d: %v\n%s, want\n%s", id+1, err, got, c.want)
		}
	}
}
