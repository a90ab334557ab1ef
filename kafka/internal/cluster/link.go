package cluster

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/handshake"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// Link is one network connection to a broker. kafka-go pools it and gives it to one holder at a
// time. A Link has what belongs to the connection and not to a holder, such as the versions
// that its broker supports.
//
// Except for Close, a Link is used by one goroutine at a time, or by one that writes requests
// and one that reads their responses.
type Link struct {
	// Conn checks the server's bytes while kafka-go reads them. It is off while a holder of ours
	// reads.
	*handshake.Conn
	// wire is the connection below Conn: TCP, or TLS over it. Batches of records are written to it
	// directly, without the checks of set-up.
	wire net.Conn
	// client is the owner. Its links include this one until Close.
	client *Client
	// address is the host:port that was dialed.
	address string
	// limit bounds connection set-up. kafka-go sets one deadline for dialing all addresses and
	// ApiVersions, and removes it before SASL; a broker that is silent then would otherwise
	// hold the connection and a goroutine indefinitely.
	limit time.Time
	// capped is set once the first deadline was reduced to limit.
	capped bool
	// ready is set when the connection is first lent: set-up is over.
	ready bool
	// served is set once the broker has answered a holder's request other than ApiVersions.
	served   atomic.Bool
	versions map[int16]versionRange // nil until asked
	// retireAt is when to stop lending the connection, before its SASL session ends or
	// Options.SessionEnd says so.
	retireAt    time.Time // zero: never
	Correlation int32     // of the last request
	head        [8]byte   // size and correlation id of a response
}

// linkAddr lets a holder, which gets kafka-go's connection, find the link below it.
type linkAddr struct {
	net.Addr
	link *Link
}

// LocalAddr returns the connection's own address, with the link attached.
func (l *Link) LocalAddr() net.Addr { return linkAddr{Addr: l.Conn.LocalAddr(), link: l} }

// SetDeadline sets the deadline of the next operations. It ignores the zero time: every
// exchange sets its own deadline, so "no deadline" could only mean waiting indefinitely.
func (l *Link) SetDeadline(t time.Time) error {
	if t.IsZero() {
		return nil
	}
	if !l.capped {
		l.capped = true
		if l.limit.Before(t) {
			t = l.limit
		}
	}
	return l.Conn.SetDeadline(t)
}

// Read reads, and records how set-up failed: a broker may refuse credentials, or plain text
// where it expects TLS, by hanging up without a word.
func (l *Link) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if err != nil && !l.ready {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("the broker hung up while the connection was being set up%s (%w)", l.client.setupHint(l.Asked()), err)
		}
		l.client.noteSetup(l.address, err)
	}
	if refused, offered := l.RefusedMechanism(); refused && !l.ready {
		l.client.noteSetup(l.address, fmt.Errorf("the broker does not take the SASL mechanism %s, it offers %s: %w",
			l.client.Options.SASL.Name(), cmp.Or(strings.Join(offered, ", "), "none"), kerr.UnsupportedSaslMechanism))
	}
	return n, err
}

// lend hands the connection to a holder that reads bounded frames itself. The first time it
// also marks the connection as set up.
func (l *Link) lend() {
	l.Off()
	if l.ready {
		return
	}
	l.ready = true
	l.client.noteSetup(l.address, nil)
	now := time.Now()
	l.retireAt = earlier(l.client.Options.SessionEnd(now), sessionEnd(now, l.SessionLifetime()))
}

// takeBack hands the connection back to kafka-go.
func (l *Link) takeBack() { l.On() }

// spent reports whether the connection must not be lent again: the broker may end its SASL
// session soon, or closed it while it was idle. A request on it would fail although the broker
// works.
func (l *Link) spent() bool {
	return l.Retired() || l.ready && !alive(l.wire)
}

// Retired reports whether the broker may end the connection's SASL session soon.
func (l *Link) Retired() bool {
	return !l.retireAt.IsZero() && time.Now().After(l.retireAt)
}

// sessionEnd returns when to replace a connection whose session began at now: at 85 % of the
// lifetime that the broker announced (KIP-368), when Kafka's Java client reauthenticates. It
// returns the zero time if the broker announced none.
func sessionEnd(now time.Time, lifetime time.Duration) time.Time {
	if lifetime <= 0 {
		return time.Time{}
	}
	return now.Add(lifetime / 100 * 85)
}

// earlier returns the earlier of two times; zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Close closes the connection.
func (l *Link) Close() error {
	l.client.dropLink(l)
	return l.Conn.Close()
}

// TLS returns the state of the TLS session, or nil without TLS.
func (l *Link) TLS() *tls.ConnectionState {
	secure, ok := l.wire.(*tls.Conn)
	if !ok {
		return nil
	}
	state := secure.ConnectionState()
	return &state
}
