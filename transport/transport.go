package transport

import "context"

// Transport is one cluster. It is safe for concurrent use. The caller that made it
// closes it, after the producers, consumers and readers that it made. After Close
// its methods return errors that are ErrClosed.
type Transport interface {
	// Cluster asks the cluster for its identity. It fails within ctx when no broker
	// answers, and serves as the connectivity check of health.
	Cluster(ctx context.Context) (Cluster, error)
	// NewProducer returns a producer that is ready at once: it connects when
	// it is first used. A configuration that can't work is an error that names
	// every wrong field; so it is for consumers and readers.
	NewProducer(ProducerConfig) (Producer, error)
	// NewConsumer returns a member of a group. It joins in the background, and
	// calls the Listener once it has partitions.
	NewConsumer(ConsumerConfig) (Consumer, error)
	// NewReader returns a reader of partitions outside any group. It connects
	// in the background.
	NewReader(ReaderConfig) (Reader, error)
	// Admin returns what describes and creates topics. It needs no Close.
	Admin() Admin
	// Close ends every connection within ctx. The caller closes its producers,
	// consumers and readers first. A second call returns nil.
	Close(ctx context.Context) error
}

// Cluster is a cluster's description of itself.
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
	// Host and Port are where clients reach it, as the broker advertises itself.
	Host string
	Port int32
	// Rack is the broker's rack or zone; empty if it has none.
	Rack string
}

// Admin describes and creates topics. It is safe for concurrent use.
type Admin interface {
	// Topics describes the named topics, or all when none is named, in the
	// order asked. A topic that does not exist has Err set to an error that
	// is ErrTopicMissing. The caller owns the answer.
	Topics(ctx context.Context, names ...string) ([]TopicInfo, error)
	// CreateTopics creates topics and waits until producers and consumers of
	// this transport can use them. A topic that exists already stays as it is, without
	// an error. Other topics are created even if one fails; the error joins all failures.
	CreateTopics(ctx context.Context, specs ...TopicSpec) error
	// Offsets resolves a start position for each partition: the log's start,
	// its end (the last stable offset), or the first record at or after a time. A
	// partition that does not exist fails the call with ErrTopicMissing.
	Offsets(ctx context.Context, at Start, partitions ...Partition) (map[Partition]int64, error)
	// Committed reads a group's committed offsets, with their metadata, on
	// those topics, or on all when none is named. Partitions without a commit
	// are absent.
	Committed(ctx context.Context, group string, topics ...string) (map[Partition]Commit, error)
}

// TopicSpec is how a topic is to be created. Zero Partitions or Replication
// means the broker's default.
type TopicSpec struct {
	// Name is the topic's full name.
	Name string
	// Partitions is how many partitions it gets, Replication how many replicas each of
	// them has. Zero leaves the choice to the broker.
	Partitions  int32
	Replication int16
	// Configs are topic configurations by Kafka's names, such as retention.ms. Names
	// that are absent keep the broker's default.
	Configs map[string]string
}

// TopicInfo describes a topic as it is.
type TopicInfo struct {
	// Name is the topic's full name.
	Name string
	// ID is the topic's id, zero if the cluster has no topic ids.
	ID TopicID
	// Partitions is how many partitions it has, Replication how many replicas the
	// first of them has.
	Partitions  int32
	Replication int16
	// Configs are those set on the topic itself and the broker's defaults. Nil where
	// the caller may not read them.
	Configs map[string]string
	// Err is why the topic can't be described; the other fields but Name are zero then.
	Err error
}
