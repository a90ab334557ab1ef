package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/transport"
)

// Replicas is who holds a partition.
type Replicas struct {
	transport.Partition
	Leader  int32   // −1: nobody leads it, and it can be neither read nor written
	All     []int32 // the first is the preferred leader
	InSync  []int32
	Offline []int32
}

// Replicas tells who holds the partitions of topics, in the topics' order. A
// topic that does not exist has none.
func (t *Transport) Replicas(ctx context.Context, topics ...string) ([]Replicas, error) {
	if t.err != nil {
		return nil, t.err
	}
	if len(topics) == 0 {
		return nil, nil
	}
	answer, err := t.client.AnyBroker(ctx, cluster.MetadataRequest(topics))
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
