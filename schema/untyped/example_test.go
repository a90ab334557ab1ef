package untyped_test

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/avro"
	"github.com/eventbus-go/eventbus/schema/registry"
	"github.com/eventbus-go/eventbus/schema/untyped"
)

type shipped struct {
	OrderID string `avro:"orderId"`
	Parcels int    `avro:"parcels"`
}

// A tool without the Go type shows an event as JSON, decoded with the schema that it
// names.
func Example() {
	server := srfake.New() // stands for a registry
	defer server.Close()
	schemas, err := registry.New(registry.Config{URLs: []string{server.URL()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	codec := avro.Codec[shipped](schemas, registry.Header, avro.SchemaFor[shipped](), registry.Register())
	event := &eventbus.Envelope{Topic: "dev.shop.public.parcels.v1"}
	if event.Data, err = codec.Encode(ctx, nil, event, &shipped{"o-1", 2}); err != nil {
		fmt.Println(err)
		return
	}

	data, err := untyped.New(schemas).Read(ctx, event)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(data.Record, string(data.JSON))
	// Output: shipped {"orderId":"o-1","parcels":2}
}
