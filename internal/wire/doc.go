// Package wire writes events into Kafka records and reads them back, as
// CloudEvents 1.0.2, its Kafka protocol binding and its JSON event format say.
// Section numbers in comments are those of the three documents: "CloudEvents",
// "binding" and "JSON format".
package wire
