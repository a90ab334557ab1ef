package main

import (
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest/embedded"
	"github.com/eventbus-go/eventbus/transport"
)

// overKafka are brokers that are reached over the Kafka protocol.
type overKafka struct {
	config   kafka.Config
	embedded *embedded.Cluster // nil: somebody else's
}

// connect takes the brokers that are named, or starts one inside the process,
// which keeps its log in the directory.
func connect(addresses []string, directory string) (brokers, error) {
	if len(addresses) > 0 {
		config := kafka.Config{Brokers: addresses}
		return &overKafka{config: config}, config.Validate()
	}
	cluster, err := embedded.Start(embedded.Config{Directory: directory})
	if err != nil {
		return nil, err
	}
	return &overKafka{config: kafka.Config{Brokers: cluster.Brokers()}, embedded: cluster}, nil
}

func (o *overKafka) transport() transport.Transport { return kafka.New(o.config) }

func (o *overKafka) close() {
	if o.embedded != nil {
		o.embedded.Close()
	}
}
