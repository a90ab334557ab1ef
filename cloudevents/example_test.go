package cloudevents_test

import (
	"fmt"

	sdk "github.com/cloudevents/sdk-go/v2/event"
	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/cloudevents"
)

func ExampleEvent() {
	event, err := cloudevents.Event(&eventbus.Envelope{
		ID: "e-1", Source: "urn:shop:api", Type: "OrderPlaced", DataContentType: "application/json",
		Key: []byte("o-7"), Data: []byte(`{"orderId":"o-7"}`),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(event.ID(), event.Type(), event.Extensions()["partitionkey"], string(event.Data()))
	// Output: e-1 OrderPlaced o-7 {"orderId":"o-7"}
}

// A service converts events of the SDK, sets their topic, and publishes them with
// Bus.PublishEnvelope.
func ExampleEnvelope() {
	event := sdk.New()
	event.SetID("e-1")
	event.SetSource("urn:shop:api")
	event.SetType("OrderPlaced")
	event.SetExtension("partitionkey", "o-7")
	if err := event.SetData("application/json", map[string]string{"orderId": "o-7"}); err != nil {
		fmt.Println(err)
		return
	}
	envelope, err := cloudevents.Envelope(event)
	if err != nil {
		fmt.Println(err)
		return
	}
	envelope.Topic = "prod.shop.public.orders.v1"
	fmt.Println(envelope.Type, string(envelope.Key), string(envelope.Data))
	// Output: OrderPlaced o-7 {"orderId":"o-7"}
}
