package jsonschema_test

import (
	"context"
	"fmt"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/jsonschema"
	"github.com/eventbus-go/eventbus/schema/registry"
)

type refunded struct {
	OrderID string `json:"orderId"`
	Cents   int    `json:"cents"`
}

// With Validate, publishing an event that does not fit its schema is an error. With a
// registry in place of nil, events name their schema.
func Example() {
	codec := jsonschema.Codec[refunded](nil, registry.None, `{
		"$schema": "http://json-schema.org/draft-07/schema#",
		"title": "Refunded",
		"type": "object",
		"properties": {"orderId": {"type": "string"}, "cents": {"type": "integer", "minimum": 1}}
	}`, registry.Validate())

	event := &eventbus.Envelope{Topic: "prod.shop.public.refunds.v1"}
	for _, r := range []refunded{{"o-1", 995}, {"o-2", 0}} {
		data, err := codec.Encode(context.Background(), nil, event, &r)
		fmt.Printf("%s %v\n", data, err)
	}
	// Output:
	// {"orderId":"o-1","cents":995} <nil>
	// {"orderId":"o-2","cents":0} the event does not fit its schema at #/properties/cents: minimum
}
