package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Create creates a topic and waits until it is Healthy. A topic that exists stays as it
// is, whatever its number of partitions.
func (c *Cluster) Create(ctx context.Context, name string, partitions int32, replication int16) error {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, replication
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics, request.TimeoutMillis = append(request.Topics, t), 30_000
	// The topic may exist because the answer to an earlier try was lost, so that is no error.
	response, err := request.RequestWith(ctx, c.Client)
	if err != nil {
		return fmt.Errorf("creating topic %s: %w", name, err)
	}
	for _, t := range response.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("creating topic %s: %w", name, err)
		}
	}
	return c.Healthy(ctx, name)
}

// Remove deletes topics. It ignores failures, which cost disk space and change no verdict.
func (c *Cluster) Remove(ctx context.Context, names ...string) {
	request := kmsg.NewPtrDeleteTopicsRequest()
	// Versions of the request up to 5 have TopicNames, and later ones have Topics. Both are set,
	// since the client chooses the version.
	request.TopicNames, request.TimeoutMillis = names, 10_000
	for _, name := range names {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = new(name)
		request.Topics = append(request.Topics, t)
	}
	_, _ = request.RequestWith(ctx, c.Client)
}

// Healthy waits until all partitions of the topics have a leader and all replicas are in
// sync. It returns an error only if ctx ends before.
func (c *Cluster) Healthy(ctx context.Context, topics ...string) error {
	for {
		sick, err := c.sick(ctx, topics)
		// A request may fail while brokers restart, so Healthy tries again after an error too.
		if err == nil && sick == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			// Both errors: ctx says that it took too long, the last answer says why.
			return fmt.Errorf("waiting for %v to be healthy, with %d partitions known not to be: %w", topics, sick, errors.Join(err, ctx.Err()))
		case <-time.After(100 * time.Millisecond): // nothing signals when the brokers are done
		}
	}
}

// sick returns the number of partitions without a leader or with a replica out of sync. With an
// error the number is 0, and means nothing.
func (c *Cluster) sick(ctx context.Context, topics []string) (n int, err error) {
	request := kmsg.NewPtrMetadataRequest()
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = new(name)
		request.Topics = append(request.Topics, t)
	}
	response, err := request.RequestWith(ctx, c.Client)
	if err != nil {
		return 0, err
	}
	for _, t := range response.Topics {
		// A topic that the broker does not know yet has no partitions, so it would look healthy.
		if t.ErrorCode != 0 {
			return 0, kerr.ErrorForCode(t.ErrorCode)
		}
		for _, p := range t.Partitions {
			// A leader alone is not enough: the next fault would leave the partition with fewer
			// than the two in-sync replicas that writing needs, and the campaign would blame the
			// library.
			if p.ErrorCode != 0 || p.Leader < 0 || len(p.ISR) < len(p.Replicas) {
				n++
			}
		}
	}
	return n, nil
}

// Set changes one configuration of a topic. The brokers may apply it a moment after Set has
// returned.
func (c *Cluster) Set(ctx context.Context, topic, name, value string) error {
	// An incremental change (KIP-339) leaves the topic's other configurations alone.
	config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	config.Name, config.Value = name, new(value)
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	resource.Configs = append(resource.Configs, config)
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	request.Resources = append(request.Resources, resource)
	response, err := request.RequestWith(ctx, c.Client)
	if err != nil {
		return fmt.Errorf("setting %s of %s: %w", name, topic, err)
	}
	for _, r := range response.Resources {
		if r.ErrorCode != 0 {
			return fmt.Errorf("setting %s of %s: %w", name, topic, kerr.ErrorForCode(r.ErrorCode))
		}
	}
	return nil
}

// Ends returns the end of each partition's log: its high watermark, since the campaign has no
// transactions. It returns an error if any end is missing.
func (c *Cluster) Ends(ctx context.Context, topic string, partitions int32) ([]int64, error) {
	request := kmsg.NewPtrListOffsetsRequest()
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for p := range partitions {
		of := kmsg.NewListOffsetsRequestTopicPartition()
		// The timestamp −1 asks for the end of the log.
		of.Partition, of.Timestamp = p, -1
		t.Partitions = append(t.Partitions, of)
	}
	request.Topics = append(request.Topics, t)
	ends := make([]int64, partitions)
	seen := 0
	// One shard for each leader. If one fails, so does Ends: with some of the ends missing, a
	// check for losses could pass.
	for _, shard := range c.Client.RequestSharded(ctx, request) {
		if shard.Err != nil {
			return nil, shard.Err
		}
		for _, t := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 {
					return nil, kerr.ErrorForCode(p.ErrorCode)
				}
				ends[p.Partition] = p.Offset
				seen++
			}
		}
	}
	// A partition that the answers leave out would look empty.
	if seen != int(partitions) {
		return nil, fmt.Errorf("the ends of %d partitions of %s are missing", int(partitions)-seen, topic)
	}
	return ends, nil
}
