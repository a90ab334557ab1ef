package cluster

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Create creates a topic and waits until every partition has a leader.
// A topic that exists stays as it is, with whatever number of partitions.
func (c *Cluster) Create(ctx context.Context, name string, partitions int32, replication int16) error {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, replication
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics, request.TimeoutMillis = append(request.Topics, t), 30_000
	// Creation may have succeeded although an earlier answer was lost, so it is fine if the topic
	// exists.
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

// Remove deletes topics. A failure costs disk space and changes no verdict.
func (c *Cluster) Remove(ctx context.Context, names ...string) {
	request := kmsg.NewPtrDeleteTopicsRequest()
	// The names are given in both forms: request versions up to 5 have TopicNames, later ones
	// Topics. The client picks the version that the broker knows.
	request.TopicNames, request.TimeoutMillis = names, 10_000
	for _, name := range names {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = new(name)
		request.Topics = append(request.Topics, t)
	}
	_, _ = request.RequestWith(ctx, c.Client)
}

// Healthy waits until all partitions of the topics have a leader and all
// replicas are in sync.
func (c *Cluster) Healthy(ctx context.Context, topics ...string) error {
	for {
		sick, err := c.sick(ctx, topics)
		// Ask again until ctx ends, also after an error.
		if err == nil && sick == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			// Both errors: the deadline says that it took too long, the last answer says why.
			return fmt.Errorf("%d partitions of %v are not in order: %w", sick, topics, errors.Join(err, ctx.Err()))
		case <-time.After(100 * time.Millisecond): // nothing signals when the brokers are done
		}
	}
}

// sick returns how many partitions have no leader or a replica out of sync. A partition counts
// once, whatever is wrong with it. With an error the number means nothing.
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
		// A topic that the broker does not know yet has no partitions, and would look healthy.
		if t.ErrorCode != 0 {
			return 0, kerr.ErrorForCode(t.ErrorCode)
		}
		for _, p := range t.Partitions {
			// A leader alone is not enough: the next fault would take a partition below the two
			// in-sync replicas that it needs, and the campaign would blame the library.
			if p.ErrorCode != 0 || p.Leader < 0 || len(p.ISR) < len(p.Replicas) {
				n++
			}
		}
	}
	return n, nil
}

// Set changes one configuration of a topic.
// The brokers may act on it a moment later than this returns.
func (c *Cluster) Set(ctx context.Context, topic, name, value string) error {
	// Incremental (KIP-339), so that the topic's other configurations stay.
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

// Ends returns the end offset of each partition.
// It is the high watermark, without regard to transactions: the campaign has none.
func (c *Cluster) Ends(ctx context.Context, topic string, partitions int32) ([]int64, error) {
	request := kmsg.NewPtrListOffsetsRequest()
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for p := range partitions {
		of := kmsg.NewListOffsetsRequestTopicPartition()
		// −1 is the end of the log (ListOffsets).
		of.Partition, of.Timestamp = p, -1
		t.Partitions = append(t.Partitions, of)
	}
	request.Topics = append(request.Topics, t)
	ends := make([]int64, partitions)
	seen := 0
	// One shard for each leader. A part that fails fails the whole: half the ends would make
	// a check of losses pass.
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
	// A broker that did not answer for a partition would look like an empty one.
	if seen != int(partitions) {
		return nil, errors.New("the ends of " + strconv.Itoa(int(partitions)-seen) + " partitions are missing")
	}
	return ends, nil
}
