// Package handshake keeps a server's bytes away from kafka-go until they are known to be
// well-formed.
//
// kafka-go dials, secures, authenticates and pools connections. Its decoder trusts the
// lengths that a server announces: a negative one panics, and a large one is allocated
// before any of its bytes arrive. A [Conn] sits below kafka-go. It reads the answers to
// kafka-go's own requests itself, bounded, and passes on a frame that it has encoded again.
//
//	conn.go     Conn: which request is open, and when the guard is off
//	request.go  what kafka-go writes: ApiVersions, SaslHandshake, SaslAuthenticate, Metadata
//	answer.go   an answer: read, bounded, decoded, encoded again
//	error.go    what a server that does not speak Kafka probably speaks
package handshake
