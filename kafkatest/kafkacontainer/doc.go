// Package kafkacontainer runs tests on Apache Kafka in a container, by means of
// testcontainers-go. It is the fourth place for a test of kafkatest, beside memory,
// the in-process broker, and the brokers that an environment variable names.
//
// It is a separate module: a service that does not use it does not have
// testcontainers in its build.
package kafkacontainer
