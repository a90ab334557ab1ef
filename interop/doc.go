// Package interop tests the bus against other clients of Kafka on a real broker:
// kcat (librdkafka), Python's cloudevents over confluent-kafka, franz-go, and
// Kafka's own Java client write events that a handler receives, and read what
// the bus writes. `make test-kafka` runs it.
package interop
