package inbox_test

import (
	"context"
	"fmt"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/inbox"
)

type orderPlaced struct {
	OrderID string `json:"orderId" eventbus:"key"`
}

var orderPlacedTopic = eventbus.NewTopic(eventbus.TopicConfig[orderPlaced]{Domain: "shop", Name: "order", Plural: true, Type: "OrderPlaced"})

// A producer sends one event twice; the handler is called once.
func ExampleMemory() {
	subscription := eventbus.On(orderPlacedTopic, func(_ context.Context, e orderPlaced) error {
		fmt.Println("reserve stock for", e.OrderID)
		return nil
	}, eventbus.Use(eventbus.Idempotent(inbox.Memory(0))))

	for range 2 {
		event := &eventbus.Envelope{
			ID: "e-1", Source: "urn:shop:api", Type: "OrderPlaced", DataContentType: "application/json", Data: []byte(`{"orderId":"o-7"}`),
		}
		if err := subscription.Handle(context.Background(), event); err != nil {
			fmt.Println(err)
		}
	}
	// Output: reserve stock for o-7
}
