package catalog_test

import (
	"fmt"
	"os"
	"strings"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
)

type orderPlaced struct {
	OrderID string `json:"orderId" eventbus:"key"`
}

type orderPaid struct {
	OrderID string `json:"orderId" eventbus:"key"`
}

var (
	orderPlacedTopic = eventbus.NewTopic(eventbus.TopicConfig[orderPlaced]{Domain: "shop", Name: "order", Plural: true, Type: "OrderPlaced", Owner: "checkout"})
	orderPaidTopic   = eventbus.NewTopic(eventbus.TopicConfig[orderPaid]{Domain: "shop", Name: "order", Plural: true, Type: "OrderPaid"})
)

// Two types of events share one Kafka topic, so the document has one topic.
func ExampleOf() {
	document, err := catalog.Of(orderPlacedTopic, orderPaidTopic)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, topic := range document.Topics {
		fmt.Println(topic.Names["Production"], "of", topic.Owner)
		for _, event := range topic.Events {
			fmt.Println(" ", event.Type, event.Key.Source, event.Key.Fields)
		}
	}
	// Output:
	// prod.shop.public.orders.v1 of checkout
	//   OrderPaid fields [OrderID]
	//   OrderPlaced fields [OrderID]
}

// Read refuses what it does not know, and says where.
func ExampleRead() {
	_, err := catalog.Read(strings.NewReader(`{"catalogVersion": 3, "topics": []}`))
	fmt.Println(err)

	document, err := catalog.Read(strings.NewReader(`{"catalogVersion": 1, "service": "shop-api", "topics": []}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := document.WriteTo(os.Stdout); err != nil {
		fmt.Println(err)
	}
	// Output:
	// eventbus: read catalog: catalogVersion is 3, and 2 is the newest known here: update the reader
	// {
	//   "catalogVersion": 1,
	//   "service": "shop-api",
	//   "topics": []
	// }
}
