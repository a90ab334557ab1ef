package cluster

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// TopicMeta is the metadata of a topic. It is immutable.
type TopicMeta struct {
	Name       string
	ID         transport.TopicID // zero from brokers before 2.8
	Cluster    string            // id of the topic's cluster
	Partitions []PartitionMeta   // by index
	Err        error             // why the cluster does not describe the topic
	Asked      time.Time         // when the request was sent
}

// PartitionMeta is the metadata of one partition.
type PartitionMeta struct {
	Leader   int32     // a broker's id; −1 if there is none
	Epoch    int32     // of the leader; −1 if unknown
	Replicas int16     // number of replicas
	doubted  time.Time // since when only earlier epochs are reported; zero if none is
}

// NewTopicMeta returns the metadata in the answer to a request that was sent at the time asked.
func NewTopicMeta(topic *kmsg.MetadataResponseTopic, asked time.Time) *TopicMeta {
	t := &TopicMeta{ID: topic.TopicID, Asked: asked}
	if topic.Topic != nil {
		t.Name = *topic.Topic
	}
	if topic.ErrorCode != 0 {
		t.Err = TopicError(t.Name, kerr.Error(topic.ErrorCode))
		return t
	}
	// Count a partition that is named twice once.
	named := make(map[int32]struct{}, len(topic.Partitions))
	for _, p := range topic.Partitions {
		named[p.Partition] = struct{}{}
	}
	t.Partitions = make([]PartitionMeta, len(named))
	for i := range t.Partitions {
		t.Partitions[i] = PartitionMeta{Leader: -1, Epoch: -1}
	}
	for _, p := range topic.Partitions {
		if p.Partition >= 0 && int(p.Partition) < len(t.Partitions) {
			t.Partitions[p.Partition] = PartitionMeta{Leader: p.Leader, Epoch: p.LeaderEpoch, Replicas: int16(len(p.Replicas))}
		}
	}
	return t
}

// agreedAfter is how long a topic ID must have been current before it counts as agreed on. An
// older ID, or leader epoch, that a broker still reports is ignored for this long; after that it
// is believed again.
const agreedAfter = time.Minute

// keepNewer keeps the newer parts of old, the previous metadata of the topic, if the ids are the
// same. Brokers learn about elections and added partitions one after another, and the one asked
// may be behind or cut off. Leader epochs of a topic never go back, and its partitions are never
// removed. But brokers that report no ids may describe another topic of that name: if for a
// while no broker reports the epoch known last, the earlier one is believed.
func (t *TopicMeta) keepNewer(old *TopicMeta) {
	if old == nil || old.ID != t.ID || t.Err != nil {
		return
	}
	if n := len(t.Partitions); n < len(old.Partitions) && t.ID != (transport.TopicID{}) {
		t.Partitions = append(t.Partitions, old.Partitions[n:]...)
	}
	for i := range min(len(t.Partitions), len(old.Partitions)) {
		was, now := old.Partitions[i], &t.Partitions[i]
		if was.Epoch <= now.Epoch || now.Epoch < 0 {
			continue
		}
		if was.doubted.IsZero() {
			was.doubted = t.Asked
		}
		if t.ID != (transport.TopicID{}) || t.Asked.Sub(was.doubted) < agreedAfter {
			*now = was
		}
	}
}

// TopicError returns the error for a code in place of a topic's metadata. In metadata a missing
// topic is definite, and the error is not retriable. The same code from a leader is, since that
// may not know a new topic yet.
func TopicError(name string, code kerr.Error) error {
	if code == kerr.UnknownTopicOrPartition {
		return fmt.Errorf("topic %q: %w", name, transport.ErrTopicMissing)
	}
	return fmt.Errorf("topic %q: %w", name, code)
}

// leader returns the broker that leads a partition, or −1 if none does or the topic has no such
// partition.
func (t *TopicMeta) leader(partition int32) int32 {
	if partition < 0 || int(partition) >= len(t.Partitions) {
		return -1
	}
	return t.Partitions[partition].Leader
}

// leaderless returns the error of a partition that has no leader. It is retriable:
// the cluster elects one as soon as a replica is there.
func leaderless(p transport.Partition) error {
	return fmt.Errorf("partition %s has no leader: %w", p, kerr.LeaderNotAvailable)
}

// MissingPartition returns the error of a partition beyond the last one of its
// topic. It is transport.ErrTopicMissing.
func MissingPartition(topic string, partition int32, has int) error {
	return fmt.Errorf("partition %d of topic %q, which has %d: %w", partition, topic, has, transport.ErrTopicMissing)
}

// Led reports whether every partition has a leader.
func (t *TopicMeta) Led() bool {
	for _, p := range t.Partitions {
		if p.Leader < 0 {
			return false
		}
	}
	return true
}

// ErrUnmentioned is the error of a requested topic that the answer doesn't mention, for example
// because its name is not valid UTF-8.
var ErrUnmentioned = errors.New("the brokers' metadata does not mention it")
