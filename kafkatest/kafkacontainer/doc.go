// Package kafkacontainer runs tests on Apache Kafka in a container, using
// testcontainers-go. It adds a fourth kind of cluster to kafkatest's: in memory, a
// broker inside the process, and the brokers that an environment variable names.
//
// It is a separate module, so that only services that use it build testcontainers.
package kafkacontainer
