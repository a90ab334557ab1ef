// Package format provides the record formats of other programs, for
// TopicConfig.Format: the topic is read and written as its other users do, while its
// handlers and publishers are like those of any topic.
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
// Those of Watermill, Spring and Debezium are tested with the programs themselves, in
// examples/migration. Wolverine and MassTransit are .NET libraries, which do not run
// there: their formats are taken from their source code. Try them on one of your
// topics before you rely on them.
//
// Formats are values: topics that share a Kafka name share one. A record without an id gets one
// from its topic, partition, offset and timestamp. That id is the same at each reading, so that
// an inbox recognizes it.
//
// A format writes what it can express. It refuses an event with a subject, a schema or
// extensions that its readers would never see; an inherited correlation id is dropped if the
// format has no header for it.
//
//	plain.go      Plain, from which most others are made
//	presets.go    Watermill, Spring, Wolverine, MassTransit
//	debezium.go   Debezium
//	confluent.go  Confluent
package format
