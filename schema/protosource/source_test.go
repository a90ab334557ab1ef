package protosource_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/schema/internal/testdata/orders"
	"github.com/eventbus-go/eventbus/schema/protobuf"
	"github.com/eventbus-go/eventbus/schema/protosource"
	"github.com/eventbus-go/eventbus/schema/registry"
)

var documents = flag.String("documents", "", "write AsyncAPI documents into this directory")

// TestAsyncAPI: the document has the event's message as .proto text, which compiles to
// the same message. make test-asyncapi validates it with AsyncAPI's parser.
func TestAsyncAPI(t *testing.T) {
	d, err := catalog.Of(eventbus.NewTopic(eventbus.TopicConfig[*orders.OrderPlaced]{Domain: "shop", Name: "order", Plural: true, Codec: protobuf.Codec[*orders.OrderPlaced](nil, registry.None)}))
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"3.0.0", "3.1.0"} {
		text, err := d.AsyncAPI(catalog.AsyncAPIConfig{Version: version, Protobuf: protosource.Of})
		if err != nil {
			t.Fatal(err)
		}
		if *documents != "" {
			if err := os.WriteFile(filepath.Join(*documents, "good-protobuf-"+version+".json"), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var document struct {
			Components struct {
				Messages map[string]struct {
					Payload struct{ SchemaFormat, Schema string }
				}
			}
		}
		if err := json.Unmarshal(text, &document); err != nil {
			t.Fatal(err)
		}
		payload := document.Components.Messages["shop.public.orders.v1.OrderPlaced"].Payload
		if payload.SchemaFormat != "application/vnd.google.protobuf;version=3" || strings.Contains(string(text), "x-eventbus-schema") {
			t.Errorf("%s", text)
		}
		compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(map[string]string{"event.proto": payload.Schema})})}
		files, err := compiler.Compile(context.Background(), "event.proto")
		if err != nil {
			t.Fatalf("%v in\n%s", err, payload.Schema)
		}
		want := (&orders.OrderPlaced{}).ProtoReflect().Descriptor()
		got := files[0].Messages().ByName(want.Name())
		if got == nil || got.FullName() != want.FullName() || got.Fields().Len() != want.Fields().Len() {
			t.Fatalf("the message is not the same:\n%s", payload.Schema)
		}
		for i := range want.Fields().Len() {
			if f := got.Fields().Get(i); !proto.Equal(protodesc.ToFieldDescriptorProto(f), protodesc.ToFieldDescriptorProto(want.Fields().Get(i))) {
				t.Errorf("field %s is not the same:\n%s", f.Name(), payload.Schema)
			}
		}
	}
}

// TestOf: a schema that does not fit into a single file is an error.
func TestOf(t *testing.T) {
	const line = `{"name":"line.proto","package":"other","syntax":"proto3","messageType":[{"name":"Line"}]}`
	holds := func(typ string) string {
		return `{"name":"a.proto","package":"shop","syntax":"proto3","dependency":["line.proto"],"messageType":[{"name":"Paid","field":[{"name":"line","number":1,"label":"LABEL_OPTIONAL","type":"TYPE_MESSAGE","typeName":"` + typ + `","jsonName":"line"}],"nestedType":[{"name":"In"}]}]}`
	}
	for says, schema := range map[string]string{
		"not from package protobuf": `"text"`,
		"descriptors":               `{"message":"shop.Paid","files":[{"name":1}]}`,
		"has no message":            `{"message":"shop.Paid","files":[]}`,
		"several packages":          `{"message":"shop.Paid","files":[` + line + `,` + holds(".other.Line") + `]}`,
		"no message of its own":     `{"message":"shop.Paid.In","files":[` + line + `,` + holds(".shop.Paid") + `]}`,
		"no media type":             `{"message":"shop.Paid","files":[{"name":"a.proto","package":"shop","syntax":"editions","edition":"EDITION_2023","messageType":[{"name":"Paid"}]}]}`,
	} {
		if _, text, err := protosource.Of(json.RawMessage(schema)); err == nil || !strings.Contains(err.Error(), says) || text != "" || errors.Is(err, protosource.ErrSeveral) != (says == "several packages") {
			t.Errorf("%s: %q, %v; want %q", schema, text, err, says)
		}
	}
	// Two files of the same package become one.
	same := strings.ReplaceAll(line, "other", "shop")
	format, text, err := protosource.Of(json.RawMessage(`{"message":"shop.Paid","files":[` + same + `,` + holds(".shop.Line") + `]}`))
	if err != nil || format != "application/vnd.google.protobuf;version=3" || !strings.Contains(text, "// @RootNode\nmessage Paid") || !strings.Contains(text, "message Line") {
		t.Errorf("%s, %v:\n%s", format, err, text)
	}
}
