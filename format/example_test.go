package format_test

import (
	"fmt"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/format"
)

// A topic of another system has JSON values, with the type and the id in headers.
// Handlers get them as events.
func ExamplePlain() {
	type shipped struct {
		OrderID string `json:"orderId" eventbus:"key"`
	}
	topic := eventbus.NewTopic(eventbus.TopicConfig[shipped]{
		Address: "legacy.shipping", Type: "shipped",
		Format: format.Plain(format.PlainConfig{TypeHeader: "event-type", IDHeader: "message-id"}),
	})
	fmt.Println(topic.In("prod"))
	// Output: legacy.shipping
}
