// Command core is the smallest service: a topic, a handler and Run. TestWeight builds
// it, and bounds its size and the number of modules that it links. Nothing runs it.
package main

import (
	"context"
	"log"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/kafka"
)

type event struct {
	ID string `json:"id"`
}

var topic = eventbus.NewTopic(eventbus.TopicConfig[event]{
	Domain: "sales", Name: "customer", Plural: true,
	Key: func(e event) string { return e.ID },
})

func main() {
	bus, err := eventbus.New(kafka.New(kafka.Config{Brokers: []string{"localhost:9092"}}),
		eventbus.Config{Service: "mailer", Environment: "Development"})
	if err != nil {
		log.Fatal(err)
	}
	if err := eventbus.Subscribe(bus, topic, func(context.Context, event) error { return nil }); err != nil {
		log.Fatal(err)
	}
	log.Fatal(bus.Run(context.Background()))
}
