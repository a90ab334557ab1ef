package avro_test

import (
	"context"
	"fmt"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/avro"
	"github.com/eventbus-go/eventbus/schema/registry"
)

type orderPlaced struct {
	OrderID string `avro:"orderId"`
	Cents   int64  `avro:"cents"`
}

// The codec makes a topic's events Avro. With a registry in place of nil, events name
// their schema.
func Example() {
	codec := avro.Codec[orderPlaced](nil, registry.None, avro.SchemaFor[orderPlaced]())
	topic := eventbus.NewTopic(eventbus.TopicConfig[orderPlaced]{
		Domain: "shop", Name: "order", Plural: true, Codec: codec,
		Key: func(o orderPlaced) string { return o.OrderID },
	})
	fmt.Println(topic.In("Production"), codec.ContentType())

	event := &eventbus.Envelope{Topic: topic.In("Production")}
	var err error
	if event.Data, err = codec.Encode(context.Background(), nil, event, &orderPlaced{"o-1", 995}); err != nil {
		fmt.Println(err)
		return
	}
	var got orderPlaced
	err = codec.Decode(context.Background(), event, &got)
	fmt.Printf("%x %+v %v\n", event.Data, got, err)
	// Output:
	// prod.shop.public.orders.v1 application/avro
	// 066f2d31c60f {OrderID:o-1 Cents:995} <nil>
}
