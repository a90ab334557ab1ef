package transport

import "context"

// Transport is one cluster. It is safe for concurrent use. Its creator closes it, after the
// producers, consumers and readers that it returned. After Close its methods return errors
// that are ErrClosed.
type Transport interface {
	// Cluster asks the cluster for its identity. It fails within ctx if no broker answers,
	// so it serves as the connectivity check of health.
	Cluster(ctx context.Context) (Cluster, error)
	// NewProducer returns a producer. It connects on first use. If the configuration can't
	// work, the error names every wrong field; the same holds for consumers and readers.
	NewProducer(ProducerConfig) (Producer, error)
	// NewConsumer returns a member of a group. The member joins in the background, and
	// calls the Listener once it has partitions.
	NewConsumer(ConsumerConfig) (Consumer, error)
	// NewReader returns a reader of partitions outside any group. It connects in the
	// background.
	NewReader(ReaderConfig) (Reader, error)
	// Admin returns the Admin that describes and creates topics. It needs no Close.
	Admin() Admin
	// Close closes all connections within ctx. The caller must have closed its producers,
	// consumers and readers. A second call returns nil.
	Close(ctx context.Context) error
}

// Cluster describes a cluster.
type Cluster struct {
	// ID is Kafka's cluster id; empty if the cluster has none.
	ID string
	// Brokers lists the live brokers, at least one.
	Brokers []Broker
}

// Broker is one node of a cluster.
type Broker struct {
	// ID is the broker's node id.
	ID int32
	// Host and Port are the address that the broker advertises to clients.
	Host string
	Port int32
	// Rack is the broker's rack or zone; empty if it has none.
	Rack string
}

// Admin describes and creates topics. It is safe for concurrent use.
type Admin interface {
	// Topics describes the named topics, in that order, or all topics if none is named. A
	// topic that does not exist has an Err that is ErrTopicMissing. The caller owns the
	// result.
	Topics(ctx context.Context, names ...string) ([]TopicInfo, error)
	// CreateTopics creates topics, and waits until producers and consumers of this
	// transport can use them. A topic that already exists is left as it is, without an
	// error. If one topic fails the others are still created; the error joins all failures.
	CreateTopics(ctx context.Context, specs ...TopicSpec) error
	// Offsets resolves a start position for each partition: the start of its log, its end
	// (the last stable offset), or the first record at or after a time. If a partition does
	// not exist the error is ErrTopicMissing.
	Offsets(ctx context.Context, at Start, partitions ...Partition) (map[Partition]int64, error)
	// Committed returns a group's committed offsets, with their metadata, for the given
	// topics, or for all if none is given. Partitions without a commit are absent.
	Committed(ctx context.Context, group string, topics ...string) (map[Partition]Commit, error)
}

// TopicSpec says how to create a topic.
type TopicSpec struct {
	// Name is the topic's full name.
	Name string
	// Partitions is the number of partitions, Replication the number of replicas of each.
	// Zero leaves the choice to the broker.
	Partitions  int32
	Replication int16
	// Configs are topic configurations by Kafka's names, such as retention.ms. Missing
	// names keep the broker's default.
	Configs map[string]string
}

// TopicInfo describes an existing topic.
type TopicInfo struct {
	// Name is the topic's full name.
	Name string
	// ID is the topic's id, zero if the cluster has no topic ids.
	ID TopicID
	// Partitions is the number of partitions, Replication the number of replicas of the
	// first of them.
	Partitions  int32
	Replication int16
	// Configs are the topic's own configurations and the broker's defaults. Nil if the
	// caller may not read them.
	Configs map[string]string
	// Err is why the topic can't be described; all other fields but Name are then zero.
	Err error
}
