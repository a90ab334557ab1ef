package handshake

import (
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// maxSetup bounds an answer to ApiVersions, SaslHandshake and SaslAuthenticate, in
	// bytes. Apache Kafka 4.4 answers ApiVersions with less than 1 KiB; brokers accept no
	// SASL token of 64 KiB.
	maxSetup = 64 << 10
	// maxMetadata bounds an answer to Metadata, in bytes. kafka-go asks for no topics, so
	// the answer has only the brokers: room for some 5,000.
	maxMetadata = 256 << 10
)

// Conn is a connection to a server that may not be a Kafka broker.
//
// While the guard is on, as it is after New, the writer may send one request of kafka-go's at
// a time, and Read returns the checked answer. Off turns the guard off for a holder that reads
// bounded frames itself.
//
// Apart from Close, a Conn is used by one goroutine at a time.
type Conn struct {
	net.Conn
	off bool
	// raw is set between SaslHandshake in version 0 and the end of that
	// authentication: tokens then travel without request headers.
	raw bool

	frame  []byte  // the written part of an incomplete request
	open   request // the request waiting for its answer
	answer []byte  // the part of the checked answer that Read has not returned yet
	last   int32   // correlation id of the last request

	// failed is the first error of an answer. kafka-go continues after it, but the rest of a
	// broken answer would hide the cause.
	failed error

	asked   kmsg.Key // key of the last request whose answer was read
	refused bool     // whether the last answer to SaslHandshake refused the mechanism
	offered []string // with it
	session time.Duration
}

// New returns a guarded connection over conn. Closing it closes conn.
func New(conn net.Conn) *Conn { return &Conn{Conn: conn} }

// Off passes bytes unchecked until On is called. No request may be open.
func (c *Conn) Off() { c.off, c.raw = true, false }

// On checks answers again.
func (c *Conn) On() { c.off = false }

// SessionLifetime returns how long, according to the broker, the authenticated session lasts
// (KIP-368), or zero if the broker set no limit.
func (c *Conn) SessionLifetime() time.Duration { return c.session }

// Asked returns the request that the last answer was for, or should have been for.
func (c *Conn) Asked() kmsg.Key { return c.asked }

// RefusedMechanism reports whether the broker refused the SASL mechanism, and returns
// the names of those that it offers, at most ten.
func (c *Conn) RefusedMechanism() (refused bool, offered []string) { return c.refused, c.offered }

// Write writes b, and records which request it completes.
func (c *Conn) Write(b []byte) (int, error) {
	if !c.off {
		if err := c.note(b); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}

// Read reads the checked answer to the open request or, if the guard is off, from the
// connection.
func (c *Conn) Read(b []byte) (int, error) {
	if c.off && len(c.answer) == 0 {
		return c.Conn.Read(b)
	}
	if len(c.answer) == 0 {
		if c.failed != nil {
			return 0, c.failed
		}
		answer, err := c.readAnswer()
		if err != nil {
			c.failed = err
			return 0, err
		}
		c.answer = answer
	}
	n := copy(b, c.answer)
	c.answer = c.answer[n:]
	return n, nil
}
