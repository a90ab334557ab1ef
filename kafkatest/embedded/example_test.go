package embedded_test

import (
	"context"
	"fmt"

	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest/embedded"
	"github.com/eventbus-go/eventbus/transport"
)

// A cluster of one broker, on a free port of this machine, for a program that needs no
// server.
func Example() {
	ctx := context.Background()
	cluster, err := embedded.Start(embedded.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	t := kafka.New(kafka.Config{Brokers: cluster.Brokers()})
	defer func() { _ = t.Close(ctx) }()
	err = t.Admin().CreateTopics(ctx, transport.TopicSpec{Name: "orders", Partitions: 3})
	topics, _ := t.Admin().Topics(ctx, "orders")
	fmt.Println(topics[0].Partitions, err)
	// Output: 3 <nil>
}
