// Package transport is the seam between the event bus and what carries its
// records: an Apache Kafka cluster (package kafka) or memory (package
// transport/memory). The bus above the seam knows nothing of connections,
// requests or protocols; a transport knows nothing of events, handlers or
// retries. Package transporttest holds what every transport must do, as a suite
// of tests.
//
// The vocabulary is Kafka's: a topic has partitions, a partition is a log of
// records with rising offsets, a consumer group spreads partitions over its
// members and keeps one committed offset, with a string of metadata, for each.
package transport
