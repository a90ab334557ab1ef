// Package transport is the boundary between the event bus and whatever carries its
// records: an Apache Kafka cluster (package kafka) or memory (package
// transport/memory). The bus knows nothing of connections, requests or protocols; a
// transport knows nothing of events, handlers or retries. Package transporttest is a test
// suite of what every transport must do.
//
// The vocabulary is Kafka's. A topic has partitions, and a partition is a log of records
// with rising offsets. A consumer group spreads partitions over its members, and stores
// for each one committed offset and a string of metadata.
package transport
