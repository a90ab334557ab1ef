// Package kafkacontainer runs tests on Apache Kafka in a container, by
// testcontainers-go: the fourth home of a test that runs on kafkatest's memory,
// its in-process broker, and the brokers that an environment variable names.
//
// It is a module of its own, so that a service which does not use it has nothing
// of testcontainers in its build.
package kafkacontainer
