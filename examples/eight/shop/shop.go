// Package shop is the contract of both services.
package shop

import "github.com/eventbus-go/eventbus"

// OrderPlaced says that somebody has ordered.
type OrderPlaced struct {
	ID    string `json:"id" eventbus:"key"`
	Email string `json:"email"`
}

// Topics are all topics of the shop.
var Topics = []eventbus.AnyTopic{
	eventbus.NewTopic(eventbus.TopicConfig[OrderPlaced]{Domain: "shop", Name: "order", Plural: true}),
}
