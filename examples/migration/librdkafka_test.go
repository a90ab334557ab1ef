//go:build cgo

package migration_test

import (
	"testing"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/eventbus-go/eventbus"
)

// TestPartitionersLibrdkafka compares CRC32 and Murmur2 with where librdkafka writes, on
// the cluster that it brings along.
func TestPartitionersLibrdkafka(t *testing.T) {
	const partitions = 12
	cluster, err := kafka.NewMockCluster(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	for name, ours := range map[string]eventbus.Partitioner{
		"consistent": eventbus.CRC32(), "consistent_random": eventbus.CRC32(), "murmur2": eventbus.Murmur2(), "murmur2_random": eventbus.Murmur2(),
		"fnv1a": eventbus.FNV1a(),
	} {
		t.Run(name, func(t *testing.T) {
			if err := cluster.CreateTopic(name, partitions, 1); err != nil {
				t.Fatal(err)
			}
			producer, err := kafka.NewProducer(&kafka.ConfigMap{"bootstrap.servers": cluster.BootstrapServers(), "partitioner": name})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(producer.Close)
			all := keys()
			reports := make(chan kafka.Event, len(all))
			sent := 0
			for _, key := range all {
				// The *_random partitioners spread empty keys as those that are missing.
				if len(key) == 0 && name != "consistent" {
					continue
				}
				m := &kafka.Message{TopicPartition: kafka.TopicPartition{Topic: &name, Partition: kafka.PartitionAny}, Key: key}
				if err := producer.Produce(m, reports); err != nil {
					t.Fatal(err)
				}
				sent++
			}
			differ := 0
			for range sent {
				m := (<-reports).(*kafka.Message)
				if m.TopicPartition.Error != nil {
					t.Fatal(m.TopicPartition.Error)
				}
				if ours.Of(m.Key, partitions) != m.TopicPartition.Partition {
					differ++
				}
			}
			if differ > 0 {
				t.Errorf("%d of %d keys are on another partition than by %s", differ, sent, ours)
			}
		})
	}
}
