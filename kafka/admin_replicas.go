package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/transport"
)

// Replicas lists the ids of the brokers that hold a partition.
type Replicas struct {
	transport.Partition
	Leader  int32   // −1 if there is none: the partition can be neither read nor written
	All     []int32 // the first is the preferred leader
	InSync  []int32 // whose acknowledgement a write waits for
	Offline []int32 // down, or with a failed disk
}

// Replicas returns the replicas of each partition of the topics, in the order of the topics.
// Topics that do not exist are omitted.
func (a *Admin) Replicas(ctx context.Context, topics ...string) ([]Replicas, error) {
	if a.err != nil {
		return nil, a.err
	}
	if len(topics) == 0 {
		return nil, nil
	}
	answer, err := a.client.AnyBroker(ctx, cluster.MetadataRequest(topics))
	if err != nil {
		return nil, fmt.Errorf("kafka: replicas: %w", err)
	}
	found := make(map[string][]Replicas)
	for _, topic := range answer.(*kmsg.MetadataResponse).Topics {
		if topic.Topic == nil {
			continue
		}
		held := make([]Replicas, len(topic.Partitions))
		for _, p := range topic.Partitions {
			if p.Partition >= 0 && int(p.Partition) < len(held) {
				held[p.Partition] = Replicas{transport.Partition{Topic: *topic.Topic, Partition: p.Partition}, p.Leader, p.Replicas, p.ISR, p.OfflineReplicas}
			}
		}
		found[*topic.Topic] = held
	}
	var all []Replicas
	for _, name := range topics {
		all = append(all, found[name]...)
	}
	return all, nil
}
