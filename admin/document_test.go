package admin_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/admin"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// protobufCodec has a Protobuf schema.
type protobufCodec struct{ eventbus.Codec }

func (protobufCodec) ContentType() string { return "application/protobuf" }

func (protobufCodec) SchemaText() string { return `{"message":"shop.Paid"}` }

// TestProtobufSource: the AsyncAPI document has Protobuf as text if there is a printer,
// and as descriptors otherwise.
func TestProtobufSource(t *testing.T) {
	b, err := eventbus.New(memory.New(), eventbus.Config{Service: "sales-api", Environment: "Test", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close(context.Background())
	topic := eventbus.NewTopic(eventbus.TopicConfig[order]{Domain: "shop", Name: "payment", Plural: true, Codec: protobufCodec{eventbus.JSON()}})
	if err := eventbus.Subscribe(b, topic, func(context.Context, order) error { return nil }); err != nil {
		t.Fatal(err)
	}
	printer := func(schema json.RawMessage) (string, string, error) {
		return "application/vnd.google.protobuf;version=3", "of " + string(schema), nil
	}
	_, said := ask(admin.Handler(b, admin.Protobuf(printer)), "GET", "/catalog/asyncapi", "")
	if !strings.Contains(said, `"schema": "of {\"message\":\"shop.Paid\"}"`) || strings.Contains(said, "x-eventbus-schema") {
		t.Errorf("with a printer: %s", said)
	}
	if _, said := ask(admin.Handler(b), "GET", "/catalog/asyncapi", ""); !strings.Contains(said, "x-eventbus-schema") {
		t.Errorf("without one: %s", said)
	}
}
