package handshake

import (
	"bytes"
	"fmt"
)

// Error reports a server that does not answer as a Kafka broker does.
type Error struct {
	// Speaks is what the server probably speaks: "TLS", "HTTP" or another
	// protocol's name, or empty.
	Speaks string
	// Err says what is wrong with the answer.
	Err error
}

// Error names the protocol if it is known.
func (e *Error) Error() string {
	switch e.Speaks {
	case "":
		return fmt.Sprintf("the server does not speak Kafka's protocol: %v", e.Err)
	case "TLS":
		return fmt.Sprintf("the server expects TLS: %v", e.Err)
	}
	return fmt.Sprintf("the server speaks %s, not Kafka's protocol: %v", e.Speaks, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// foreign returns an *Error of an answer that begins with head.
//
//go:noinline
func foreign(head []byte, err error) error {
	e := &Error{Err: err}
	for _, p := range []struct{ begin, name string }{
		{"\x15\x03", "TLS"}, {"HTTP", "HTTP"}, {"SSH-", "SSH"}, {"220 ", "SMTP or FTP"}, {"-ERR", "Redis"}, {"AMQP", "AMQP"},
	} {
		if bytes.HasPrefix(head, []byte(p.begin)) {
			e.Speaks = p.name
		}
	}
	return e
}
