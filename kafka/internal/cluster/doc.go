// Package cluster is the connections to a cluster and what is known of it:
// brokers, topics, leaders, coordinators. kafka-go dials, secures and pools the
// connections; requests are encoded and decoded here.
//
// Connections, from the outside in:
//
//	client.go        Client: one request to one broker, and its errors
//	message.go       how requests are written and responses read, by their types
//	conn.go          Conn: a pooled connection that is lent for a few exchanges
//	link.go          the connection below kafka-go's: deadlines, sessions
//	dial.go          dialling, TLS, and why a connection failed
//	seed.go          bootstrap addresses, and known brokers once none of these is left
//	alive_unix.go    whether an idle connection is still open, asked of the kernel
//	alive_other.go   the same where the kernel cannot be asked
//	frame.go         memory for requests
//	versions.go      which version of a request both sides speak
//
// What is known of the cluster:
//
//	metadata.go      topics and leaders, asked for by many at once with one request
//	topic.go         what is known of one topic, and its errors
//	metadata_ids.go  topic ids, and which of two answers is the newer
//	brokers.go       the brokers
//	coordinator.go   the coordinators of groups
//
// Requests that several rooms send:
//
//	any_broker.go    one that any broker answers, also while some are frozen
//	persist.go       repeating what is retriable
//	offsets.go       ListOffsets and OffsetFetch
//	by_topic.go      partitions grouped by topic, as requests want them
package cluster
