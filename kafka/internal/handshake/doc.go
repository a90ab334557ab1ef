// Package handshake keeps a server's bytes away from kafka-go until they are
// known to be well-formed.
//
// kafka-go dials, secures, authenticates and pools connections. Its decoder
// trusts the lengths that a server announces: a negative one panics, a large
// one is allocated before a byte of it has arrived. A [Conn] lies below
// kafka-go. It reads the answers to kafka-go's own requests itself, bounded,
// and hands on a frame that it has encoded again.
//
//	conn.go     Conn: which request is open, and when the guard is off
//	request.go  what kafka-go writes: ApiVersions, SaslHandshake, SaslAuthenticate, Metadata
//	answer.go   an answer: read, bounded, decoded, encoded again
//	error.go    what a server that does not speak Kafka probably speaks
package handshake
