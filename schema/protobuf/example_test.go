package protobuf_test

import (
	"fmt"

	"github.com/eventbus-go/eventbus"
	pb "github.com/eventbus-go/eventbus/schema/internal/testdata/orders"
	"github.com/eventbus-go/eventbus/schema/protobuf"
	"github.com/eventbus-go/eventbus/schema/registry"
)

var schemas = registry.FromEnvironment() // EVENTBUS_REGISTRY_URLS and so on, read when it is first used

var OrderPlacedTopic = eventbus.NewTopic(eventbus.TopicConfig[*pb.OrderPlaced]{
	Domain: "shop", Name: "order", Plural: true,
	Key:   func(o *pb.OrderPlaced) string { return o.GetOrderId() },
	Codec: protobuf.Codec[*pb.OrderPlaced](schemas, registry.Header),
})

func Example() {
	fmt.Println(OrderPlacedTopic.In("Production"), OrderPlacedTopic.Type())
	// Output: prod.shop.public.orders.v1 OrderPlaced
}
