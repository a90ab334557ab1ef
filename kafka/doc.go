// Package kafka connects the event bus to Apache Kafka 2.8 or later:
//
//	bus, err := eventbus.New(kafka.New(kafka.Config{Brokers: []string{"localhost:9092"}}), eventbus.Config{…})
//
// A [Transport] is all that a bus needs. [Admin] has further methods for operators and
// their tools, and [Transactor] writes in transactions.
//
// # Files
//
// This package has the exported API:
//
//	transport.go            Transport: New, and what a bus uses
//	config.go               Config, its defaults and its validation
//	tls.go                  TLSFiles: certificates from files
//	sasl.go                 SASL: mechanisms and credentials
//	sasl_scram.go           SCRAM, by franz-go's implementation
//	sasl_oauth.go           OAUTHBEARER
//	admin.go                Admin: topics described and created
//	admin_brokers.go        the cluster's brokers, and whether each can be reached
//	admin_replicas.go       the replicas of partitions
//	admin_offsets.go        offsets of partitions and of groups
//	admin_groups.go         groups and their members
//	admin_reset.go          offsets of a group moved
//	admin_keep.go           offsets that brokers keep without members
//	admin_delete.go         records deleted
//	admin_acl.go            operations that this client may use
//	transaction.go          Transactor: its methods and their promises
//	transaction_produce.go  its batches
//	transaction_request.go  its requests to coordinators
//	error.go                Error: codes of the protocol
//
// The implementation is in packages below internal, each of which maps its own files. A
// package imports only those above it:
//
//	kerr       errors of the protocol and what follows from them
//	handshake  checks what a server sends before kafka-go decodes it
//	balance    assignment strategies of classic groups
//	batch      the format of record batches
//	cluster    connections, requests, metadata, coordinators
//	produce    the idempotent producer
//	fetch      the fetcher of partitions, and the reader outside groups
//	group      the membership of a consumer group
//	bed        in-process brokers for tests
//	bedclient  test clients of those brokers
//
// # Libraries
//
// kafka-go (segmentio) dials, authenticates and pools connections; its writer and reader
// are not used. franz-go's kmsg encodes and decodes requests, in versions negotiated per
// connection. No other package of this module imports a Kafka client.
package kafka
