package console

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
)

// TestCSVHasNoFormulas: no cell in any column begins like a formula, and none breaks its
// row.
func TestCSVHasNoFormulas(t *testing.T) {
	text, err := asCSV([][]string{{"group", "key"}, {"=cmd|' /C calc'!A0", "+1\n@SUM(A1)"}, {"-2", "plain"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := "group,key\n'=cmd|' /C calc'!A0,'+1\\n@SUM(A1)\n'-2,plain\n"; string(text) != want {
		t.Errorf("%q, want %q", text, want)
	}
}

// protobufCodec has a Protobuf schema.
type protobufCodec struct{ eventbus.Codec }

func (protobufCodec) ContentType() string { return "application/protobuf" }

func (protobufCodec) SchemaText() string { return `{"message":"shop.Paid"}` }

// TestProtobufSource: the AsyncAPI document has Protobuf as text if there is a printer.
func TestProtobufSource(t *testing.T) {
	document, err := catalog.Of(eventbus.NewTopic(eventbus.TopicConfig[struct{}]{Domain: "shop", Name: "payment", Plural: true, Type: "Paid", Codec: protobufCodec{eventbus.JSON()}}))
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{config: &Config{Catalog: document, Environment: "Test", Protobuf: func(schema json.RawMessage) (string, string, error) {
		return "application/vnd.google.protobuf;version=3", "of " + string(schema), nil
	}}}
	d.watch = newWatch(d.config)
	if _, _, text, err := d.asyncAPI(t.Context(), nil); err != nil || !strings.Contains(string(text), `"schema": "of {\"message\":\"shop.Paid\"}"`) {
		t.Errorf("%s, %v", text, err)
	}
}
