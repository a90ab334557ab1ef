// Package cluster has the connections to a cluster and what is known about it: brokers, topics,
// leaders and coordinators. kafka-go dials, secures and pools the connections; requests are
// encoded and decoded here.
//
// Connections, from the outside in:
//
//	client.go        Client: one request to one broker, and its errors
//	message.go       writing requests and reading responses by their types
//	conn.go          Conn: a pooled connection, lent for a few exchanges
//	link.go          the connection below kafka-go's: deadlines, sessions
//	dial.go          dialing, TLS, and why a connection failed
//	seed.go          bootstrap addresses, and known brokers in case none of them is left
//	alive_unix.go    whether an idle connection is still open, according to the kernel
//	alive_other.go   the same on systems that can't be asked
//	frame.go         memory for requests
//	versions.go      which version of a request both sides speak
//
// Knowledge about the cluster:
//
//	metadata.go      topics and leaders, asked for by many at once with one request
//	topic.go         what is known of one topic, and its errors
//	metadata_ids.go  topic ids, and which of two answers is the newer
//	brokers.go       the brokers
//	coordinator.go   the coordinators of groups
//
// Requests that several packages send:
//
//	any_broker.go    requests that any broker can answer, even while some are frozen
//	persist.go       retries
//	offsets.go       ListOffsets and OffsetFetch
//	by_topic.go      partitions grouped by topic, as in requests
package cluster
