package avro_test

import (
	"context"
	"fmt"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/avro"
	"github.com/eventbus-go/eventbus/schema/registry"
)

var schemas = registry.FromEnvironment() // EVENTBUS_REGISTRY_URLS and so on, read when it is first used

type OrderPlaced struct {
	OrderID string `avro:"orderId"`
	Cents   int64  `avro:"cents"`
}

var OrderPlacedTopic = eventbus.NewTopic(eventbus.TopicConfig[OrderPlaced]{
	Domain: "shop", Name: "order", Plural: true,
	Key:   func(o OrderPlaced) string { return o.OrderID },
	Codec: avro.Codec[OrderPlaced](schemas, registry.Header, avro.SchemaFor[OrderPlaced](), registry.Register()),
})

// A topic's events are Avro by its codec, and with a registry they name their schema.
func Example() {
	fmt.Println(OrderPlacedTopic.In("Production"), OrderPlacedTopic.Type())
	fmt.Println(avro.SchemaFor[OrderPlaced]())
	// Output:
	// prod.shop.public.orders.v1 OrderPlaced
	// {"fields":[{"name":"orderId","type":"string"},{"name":"cents","type":"long"}],"name":"OrderPlaced","type":"record"}
}

// Without a registry, readers need the same schema.
func ExampleCodec() {
	codec := avro.Codec[OrderPlaced](nil, registry.None, avro.SchemaFor[OrderPlaced]())
	event := &eventbus.Envelope{Topic: OrderPlacedTopic.In("Production")}
	var err error
	if event.Data, err = codec.Encode(context.Background(), nil, event, &OrderPlaced{"o-1", 995}); err != nil {
		fmt.Println(err)
		return
	}
	var got OrderPlaced
	err = codec.Decode(context.Background(), event, &got)
	fmt.Printf("%s %x %+v %v\n", codec.ContentType(), event.Data, got, err)
	// Output: application/avro 066f2d31c60f {OrderID:o-1 Cents:995} <nil>
}
