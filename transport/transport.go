package transport

import "context"

// Transport is one cluster. It is safe for concurrent use. Whoever made it
// closes it, after the producers, consumers and readers that it made.
type Transport interface {
	// Cluster asks the cluster who it is. It fails within ctx when no broker
	// answers, and serves as the connectivity check of health.
	Cluster(ctx context.Context) (Cluster, error)
	// NewProducer returns a producer that is ready at once: it connects when
	// it is first used.
	NewProducer(ProducerConfig) (Producer, error)
	// NewConsumer returns a member of a group. It joins in the background;
	// the Listener hears of it.
	NewConsumer(ConsumerConfig) (Consumer, error)
	// NewReader returns a reader of partitions outside any group. It connects
	// in the background.
	NewReader(ReaderConfig) (Reader, error)
	// Admin describes and creates topics.
	Admin() Admin
	// Close ends every connection. Producers, consumers and readers are closed
	// first, by whoever opened them.
	Close(ctx context.Context) error
}

// Cluster is what a cluster says of itself.
type Cluster struct {
	ID      string // Kafka's cluster id; empty if the cluster has none
	Brokers []Broker
}

// Broker is one node of a cluster.
type Broker struct {
	ID   int32
	Host string
	Port int32
	Rack string
}

// Admin describes and creates topics. It is safe for concurrent use.
type Admin interface {
	// Topics describes the named topics, or all when none is named, in the
	// order asked. A topic that does not exist has Err set to an error that
	// is ErrTopicMissing.
	Topics(ctx context.Context, names ...string) ([]TopicInfo, error)
	// CreateTopics creates topics and waits until producers and consumers of
	// this transport can use them. A topic that exists already is no error
	// and stays as it is.
	CreateTopics(ctx context.Context, specs ...TopicSpec) error
	// Offsets resolves a start position for each partition: the log's start,
	// its end (the last stable offset), or the first record at or after a time.
	Offsets(ctx context.Context, at Start, partitions ...Partition) (map[Partition]int64, error)
	// Committed reads a group's committed offsets, with their metadata, on
	// those topics, or on all when none is named. Partitions without a commit
	// are absent.
	Committed(ctx context.Context, group string, topics ...string) (map[Partition]Commit, error)
}

// TopicSpec is how a topic is to be created. Zero Partitions or Replication
// means the broker's default.
type TopicSpec struct {
	Name        string
	Partitions  int32
	Replication int16
	Configs     map[string]string
}

// TopicInfo is how a topic is.
type TopicInfo struct {
	Name        string
	ID          TopicID
	Partitions  int32
	Replication int16
	Configs     map[string]string // those set on the topic itself and the broker's defaults
	Err         error
}
