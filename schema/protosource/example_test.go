package protosource_test

import (
	"fmt"
	"strings"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/schema/internal/testdata/orders"
	"github.com/eventbus-go/eventbus/schema/protobuf"
	"github.com/eventbus-go/eventbus/schema/protosource"
	"github.com/eventbus-go/eventbus/schema/registry"
)

// An AsyncAPI document shows Protobuf events as .proto text.
func Example() {
	document, err := catalog.Of(eventbus.NewTopic(eventbus.TopicConfig[*orders.OrderPlaced]{
		Domain: "shop", Name: "order", Plural: true,
		Codec: protobuf.Codec[*orders.OrderPlaced](nil, registry.None),
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := document.AsyncAPI(catalog.AsyncAPIConfig{Protobuf: protosource.Of})
	fmt.Println(strings.Contains(string(text), "message OrderPlaced {"), err)
	// Output: true <nil>
}
