package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Create creates a topic, and waits until every partition has a leader and all replicas are
// in sync. A topic that exists stays as it is, with its number of partitions.
func (c *Cluster) Create(ctx context.Context, name string, partitions int32, replication int16) error {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, replication
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics, request.TimeoutMillis = append(request.Topics, t), 30_000
	// The client may repeat a request whose answer was lost, so it is fine if the topic exists.
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

// Remove deletes topics. It ignores errors: topics that stay cost disk space, and change no
// verdict.
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

// Healthy waits until all partitions of the topics have a leader and all replicas are in sync.
// If ctx ends before, the error says how many partitions are not, or why the last request
// failed.
func (c *Cluster) Healthy(ctx context.Context, topics ...string) error {
	for {
		sick, err := c.sick(ctx, topics)
		// A request may fail while brokers restart, so Healthy tries again after an error too.
		if err == nil && sick == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d partitions of %v have no leader or a replica out of sync: %w", sick, topics, errors.Join(err, ctx.Err()))
		case <-time.After(100 * time.Millisecond): // nothing signals when the brokers are done
		}
	}
}

// sick returns the number of partitions that have an error, no leader, or a replica that is not
// in sync. The number is 0 if there is an error.
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

// Set changes one configuration of a topic. Brokers may apply it a moment after Set has
// returned.
func (c *Cluster) Set(ctx context.Context, topic, name, value string) error {
	// The request is incremental (KIP-339), so that other configurations stay.
	config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	config.Name, config.Value = name, new(value)
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	resource.Configs = append(resource.Configs, config)
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	request.Resources = append(request.Resources, resource)
	response, err := request.RequestWith(ctx, c.Client)
	if err != nil {
		return err
	}
	for _, r := range response.Resources {
		if r.ErrorCode != 0 {
			return fmt.Errorf("setting %s of %s: %w", name, topic, kerr.ErrorForCode(r.ErrorCode))
		}
	}
	return nil
}

// Ends returns the end offset of each partition; the index is the partition's number. It is
// the high watermark and not the last stable offset, since the campaign has no transactions.
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
	// The client sends a request to each leader. If one fails, all do: with a part of the ends
	// a check for losses could pass.
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
	// A partition that is missing in the answers would look empty.
	if seen != int(partitions) {
		return nil, fmt.Errorf("brokers returned the ends of %d of %d partitions of %s", seen, partitions, topic)
	}
	return ends, nil
}
