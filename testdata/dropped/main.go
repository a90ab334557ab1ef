// Command dropped makes subscriptions and adds none of them: go vet is to say so.
package main

import (
	"context"

	"github.com/eventbus-go/eventbus"
)

type event struct{ ID string }

func main() {
	topic := eventbus.NewTopic(eventbus.TopicConfig[event]{Domain: "sales", Name: "event", Unkeyed: true})
	eventbus.On(topic, func(context.Context, event) error { return nil })
	eventbus.OnBatch(topic, func(context.Context, []event) error { return nil })
	eventbus.OnDelete(topic, func(context.Context, string) error { return nil })
	eventbus.Permanent(nil)
	eventbus.RetryAfter(0, nil)
	eventbus.Discard(nil)
	eventbus.StoppedAt(0, nil)
	eventbus.Idempotent(nil)
	eventbus.Upcast(func(event) (event, error) { return event{}, nil }, func(context.Context, event) error { return nil })
}
