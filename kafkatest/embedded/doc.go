// Package embedded starts a broker that speaks the Kafka protocol inside the process,
// for tests, demonstrations and first steps without a server. It keeps its log in
// memory or in a directory. It is not meant for data that matters.
package embedded
