package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"

	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/bench/internal/event"
	"github.com/eventbus-go/eventbus/bench/internal/peer"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// environment is the first part of the topics' names, as of those of package peer.
const environment = "Test"

// stemOf returns a name that no other run on the same brokers has.
func stemOf(workload string) string { return fmt.Sprintf("%s-%08x", workload, rand.Uint32()) }

// topicOf declares a topic under the name that all clients use. An order's customer is
// the number of the partition that it goes to.
func topicOf(stem string) *eventbus.Topic[event.Order] {
	return eventbus.NewTopic(eventbus.TopicConfig[event.Order]{
		Domain: "bench", Name: stem, Unversioned: true, Type: event.Type,
		Key: func(o event.Order) string { return o.Customer },
	})
}

// newBus returns a bus without telemetry, whose events go to the partition that is
// their key.
func newBus(t transport.Transport) (*eventbus.Bus, error) {
	return eventbus.New(t, eventbus.Config{
		Service: "bench", Environment: environment, Source: event.SourceURI,
		CommitInterval: peer.CommitInterval,
		Logger:         slog.New(slog.DiscardHandler),
		TracerProvider: tracenoop.NewTracerProvider(),
		MeterProvider:  metricnoop.NewMeterProvider(),
		Producer: transport.ProducerConfig{Partitioner: func(_ string, key []byte, partitions int32) int32 {
			n, _ := strconv.Atoi(string(key))
			return int32(n) % partitions //nolint:gosec // a partition's number
		}},
	})
}

// create creates topics, with those of a group's dead letters and retries if there is a
// group, and a bus for publishing. The caller closes the bus.
func create(ctx context.Context, brokers []string, partitions int, group string, stems ...string) (*eventbus.Bus, error) {
	to := kafka.New(kafka.Config{Brokers: brokers})
	var specs []transport.TopicSpec
	for _, stem := range stems {
		spec := transport.TopicSpec{Name: peer.Settings{Stem: stem}.Topic(), Partitions: int32(partitions)} //nolint:gosec // some thousands
		specs = append(specs, spec)
		if group != "" {
			retry := spec
			retry.Name += "." + group + ".retry"
			// Nothing is written there.
			specs = append(specs, retry, transport.TopicSpec{Name: spec.Name + "." + group + ".dlq", Partitions: 1})
		}
	}
	bus, err := newBus(to)
	if err != nil {
		return nil, err
	}
	return bus, kafka.NewAdmin(to).CreateTopics(ctx, specs...)
}

// orderFor returns an order that goes to a partition.
func orderFor(source *event.Source, number, partition int) event.Order {
	o := source.At(number)
	o.Customer = strconv.Itoa(partition)
	return o
}
