package main

import (
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest/embedded"
	"github.com/eventbus-go/eventbus/transport"
)

// overKafka is a cluster that is reached over the Kafka protocol.
type overKafka struct {
	config kafka.Config
	// embedded is nil if the cluster belongs to somebody else: it is then not
	// stopped.
	embedded *embedded.Cluster
}

// connect returns the cluster at addresses. Without addresses it starts a
// broker inside the process, which keeps its log in directory, or in memory if
// that is empty.
func connect(addresses []string, directory string) (brokers, error) {
	if len(addresses) > 0 {
		config := kafka.Config{Brokers: addresses}
		// An address without a port is found before anything tries it.
		return &overKafka{config: config}, config.Validate()
	}
	cluster, err := embedded.Start(embedded.Config{Directory: directory})
	if err != nil {
		return nil, err
	}
	return &overKafka{config: kafka.Config{Brokers: cluster.Brokers()}, embedded: cluster}, nil
}

// transport returns a new transport, which its bus closes.
func (o *overKafka) transport() transport.Transport { return kafka.New(o.config) }

// close stops the embedded broker, after all transports are closed.
func (o *overKafka) close() {
	if o.embedded != nil {
		o.embedded.Close()
	}
}
