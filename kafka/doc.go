// Package kafka carries the event bus over Apache Kafka 2.8 or later:
//
//	eventbus.New(kafka.New(kafka.Config{Brokers: []string{"localhost:9092"}}), eventbus.Config{…})
//
// It is the only package that knows a Kafka client. kafka-go (segmentio) makes,
// authenticates and pools the connections; its writer and reader are not used.
// What goes over the connections is this package's own: requests are encoded and
// decoded with kmsg, in versions that are negotiated for each connection, and
// record batches by hand.
//
// Reading order: Config and Transport; client (requests, metadata, coordinators)
// over conn and link (one connection, lent to one holder at a time); Producer
// with partition, sender and waiting; the consumer's fetcher and group.
package kafka
