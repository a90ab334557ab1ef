// Package format has the forms of records that other programs write, for
// TopicConfig.Format: a topic is read and written as its other users do, and its
// handlers and publishers are those of any topic.
//
//	Topic                                              Format
//	values as they are, written by any client          Plain
//	Watermill's default marshaler, and its CQRS        Watermill
//	Spring Kafka's JsonSerializer                      Spring
//	Wolverine's envelope headers                       Wolverine
//	MassTransit's Kafka rider                          MassTransit
//	Debezium's outbox event router                     Debezium
//	Confluent's serializers: a schema id before data   Confluent
//
// Those of Watermill, Spring and Debezium are tried with the programs themselves, in
// examples/migration. Wolverine and MassTransit are .NET's, which does not run there:
// their forms are taken from their sources. Try a topic of yours before you rely on them.
//
// Formats are values: topics that share a Kafka name share one. A record without an
// id gets one from its topic, partition, offset and timestamp, which is the same at
// each reading, so that an inbox knows it again.
//
// A format writes what it has a place for. It refuses an event with a subject, a
// schema or extensions that its readers would never see; the correlation that an
// event inherits is left out where there is no header for it.
//
//	plain.go      Plain, of which most others are made
//	presets.go    Watermill, Spring, Wolverine, MassTransit
//	debezium.go   Debezium
//	confluent.go  Confluent
package format
