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

// Link is one network connection to a broker. kafka-go pools it and hands it to
// one holder at a time; what belongs to the connection and not to a holder,
// such as the versions that its broker speaks, is kept here.
//
// Apart from Close a link is used by one goroutine at a time, or by one that writes
// requests and one that reads their responses.
type Link struct {
	// Conn checks what the server sends while kafka-go reads it, and is off
	// while a holder of ours does.
	*handshake.Conn
	// wire is the connection below Conn: TCP, or TLS over it. Batches of records are
	// written to it, past the checks of set-up.
	wire net.Conn // the connection below Conn
	// client is the owner, whose links has this one until Close.
	client *Client
	// address is the host:port that was dialled.
	address string
	// limit bounds connection set-up. kafka-go sets one deadline for dialling
	// all addresses and ApiVersions, and takes it away before SASL; a broker
	// that is silent then would hold the connection, and a goroutine, without end.
	limit time.Time
	// capped is set once the first deadline was cut down to limit.
	capped bool
	// ready is set when the connection was first lent: set-up is over.
	ready bool
	// served is set once the broker has answered a holder's request, other than for
	// its versions.
	served   atomic.Bool
	versions map[int16]versionRange // nil until asked
	// retireAt is when to stop lending the connection: before its SASL session, or what
	// Options.SessionEnd knows of, ends.
	retireAt    time.Time // zero: never
	Correlation int32     // of the last request
	head        [8]byte   // size and correlation id of a response
}

// linkAddr lets a holder, who is given kafka-go's connection, find the link
// under it.
type linkAddr struct {
	net.Addr
	link *Link
}

// LocalAddr is the connection's own address, with the link in it.
func (l *Link) LocalAddr() net.Addr { return linkAddr{Addr: l.Conn.LocalAddr(), link: l} }

// SetDeadline sets the deadline of what comes next. The zero time leaves it as
// it is: every exchange on the connection sets its own, so "no deadline" can
// only mean a wait without end.
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

// Read reads, and remembers how set-up failed: the broker's way to refuse
// credentials, or a client that speaks plain text where TLS is expected, may be
// to hang up without a word.
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

// lend hands the connection to a holder that reads bounded frames itself. The
// first time it marks the connection as set up.
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

// spent reports whether the connection must not be lent again: the broker may
// end its SASL session soon, or has closed it while it was idle. A request on it
// would fail although the broker is well.
func (l *Link) spent() bool {
	return l.Retired() || l.ready && !alive(l.wire)
}

// Retired reports whether the broker may end the connection's SASL session soon.
func (l *Link) Retired() bool {
	return !l.retireAt.IsZero() && time.Now().After(l.retireAt)
}

// sessionEnd returns when a connection whose session began at now should be
// replaced: at 85 % of the lifetime that the broker announced (KIP-368), as
// Kafka's Java client re-authenticates. It returns the zero time if the broker
// announced none.
func sessionEnd(now time.Time, lifetime time.Duration) time.Time {
	if lifetime <= 0 {
		return time.Time{}
	}
	return now.Add(lifetime / 100 * 85)
}

// earlier returns the earlier of two times, of which zero means never.
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
