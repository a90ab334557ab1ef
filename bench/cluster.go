package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// cluster is the brokers on which everything is measured, managed through a client of its own.
type cluster struct {
	// addresses are host:port. client manages topics, and measures nothing.
	addresses []string
	client    *kgo.Client
}

// connect returns the cluster at addresses. It does not connect yet; the first request does.
func connect(addresses []string) (*cluster, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(addresses...))
	if err != nil {
		return nil, err
	}
	return &cluster{addresses, client}, nil
}

// close ends the client. Topics stay.
func (c *cluster) close() { c.client.Close() }

// version guesses the brokers' version from the requests that they support.
// One of them answers for all.
func (c *cluster) version(ctx context.Context) (string, error) {
	response, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, c.client)
	if err != nil {
		return "", err
	}
	return kversion.FromApiVersionsResponse(response).VersionGuess(), nil
}

// create creates a topic and waits until every partition has a leader.
func (c *cluster) create(ctx context.Context, topic string, partitions int) error {
	t := kmsg.NewCreateTopicsRequestTopic()
	// −1 is the broker's default replication.
	// KIP-464 lets brokers choose it, from Apache Kafka 2.4 on.
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, int32(partitions), -1
	// Deleted topics should leave the disk at once.
	config := kmsg.NewCreateTopicsRequestTopicConfig()
	config.Name, config.Value = "file.delete.delay.ms", new("1000")
	t.Configs = append(t.Configs, config)
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics, request.TimeoutMillis = append(request.Topics, t), 30_000
	response, err := request.RequestWith(ctx, c.client)
	if err != nil {
		return fmt.Errorf("creating topic %s: %w", topic, err)
	}
	for _, t := range response.Topics {
		// A request that is repeated after a lost answer finds its own topic, since names are
		// random.
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("creating topic %s: %w", topic, err)
		}
	}
	// A producer that starts before there are leaders would measure the election.
	for {
		// An error ends the wait: brokers that don't answer would spoil the measurement as well.
		led, err := c.led(ctx, topic)
		if err != nil || led == partitions {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("topic %s has %d leaders for %d partitions: %w", topic, led, partitions, ctx.Err())
		case <-time.After(50 * time.Millisecond): // nothing signals when the brokers know it
		}
	}
}

// led returns how many partitions have a leader.
func (c *cluster) led(ctx context.Context, topic string) (int, error) {
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = new(topic)
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = append(request.Topics, t)
	response, err := request.RequestWith(ctx, c.client)
	if err != nil {
		return 0, err
	}
	// A topic that the broker does not know yet has no partitions here.
	n := 0
	for _, t := range response.Topics {
		for _, p := range t.Partitions {
			// Leader is −1 if there is none.
			if p.ErrorCode == 0 && p.Leader >= 0 {
				n++
			}
		}
	}
	return n, nil
}

// remove deletes a topic. A failure costs disk space and changes no
// measurement.
func (c *cluster) remove(ctx context.Context, topic string) {
	request := kmsg.NewPtrDeleteTopicsRequest()
	// TopicNames is for versions of the request up to 5, Topics for those from 6 on, which
	// KIP-516 gave topic ids.
	request.TopicNames, request.TimeoutMillis = []string{topic}, 30_000
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic = new(topic)
	request.Topics = append(request.Topics, t)
	// The answer makes no difference.
	_, _ = request.RequestWith(ctx, c.client)
}
