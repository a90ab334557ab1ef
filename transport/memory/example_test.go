package memory_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/eventbus-go/eventbus/transport"
	"github.com/eventbus-go/eventbus/transport/memory"
)

// awaited is a Completion that hands the outcome to a goroutine that waits for it.
type awaited chan error

func (o awaited) Done(p transport.Position, err error) {
	fmt.Printf("%s@%d: %v\n", p.Partition, p.Offset, err)
	o <- err
}

// A transport carries records and knows nothing about events.
func Example() {
	ctx := context.Background()
	var cluster transport.Transport = memory.New()
	defer cluster.Close(ctx)

	topic := transport.TopicSpec{Name: "orders", Partitions: 1}
	if err := cluster.Admin().CreateTopics(ctx, topic); err != nil {
		panic(err)
	}
	producer, err := cluster.NewProducer(transport.ProducerConfig{})
	if err != nil {
		panic(err)
	}
	done := make(awaited, 1)
	record := &transport.Record{Topic: "orders", Partition: transport.AnyPartition, Key: []byte("o-1"), Value: []byte("placed")}
	if err := producer.Produce(ctx, record, done); err != nil {
		panic(err)
	}
	if err := <-done; err != nil {
		panic(err)
	}

	start := transport.Partition{Topic: "orders", Partition: 0}
	reader, err := cluster.NewReader(transport.ReaderConfig{
		From: map[transport.Partition]int64{start: 0},
		To:   map[transport.Partition]int64{start: 1},
	})
	if err != nil {
		panic(err)
	}
	batches, err := reader.Poll(ctx)
	if err != nil {
		panic(err)
	}
	for _, b := range batches {
		for _, r := range b.Records {
			fmt.Printf("%s is %s\n", r.Key, r.Value)
		}
		b.Release() // nothing of its records is used from here on
	}
	// Output:
	// orders/0@0: <nil>
	// o-1 is placed
}

// printed prints the outcome of a record.
type printed struct{}

func (printed) Done(p transport.Position, err error) {
	fmt.Println(p.Offset, err)
}

// A cluster in memory fails on demand, and shows what it holds.
func ExampleCluster_FailProduces() {
	ctx := context.Background()
	cluster := memory.New(memory.DefaultPartitions(1))
	defer cluster.Close(ctx)
	if err := cluster.Admin().CreateTopics(ctx, transport.TopicSpec{Name: "orders"}); err != nil {
		panic(err)
	}
	producer, err := cluster.NewProducer(transport.ProducerConfig{})
	if err != nil {
		panic(err)
	}
	cluster.FailProduces("orders", 1, errors.New("the disk is full"))
	for _, value := range []string{"first", "second"} {
		if err := producer.Produce(ctx, &transport.Record{Topic: "orders", Value: []byte(value)}, printed{}); err != nil {
			panic(err)
		}
	}
	for _, r := range cluster.Records("orders") {
		fmt.Printf("%d: %s\n", r.Offset, r.Value)
	}
	// Output:
	// -1 the disk is full
	// 0 <nil>
	// 0: second
}
