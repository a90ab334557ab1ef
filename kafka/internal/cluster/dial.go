package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/handshake"
	"github.com/eventbus-go/eventbus/transport"
)

// ErrClosed is the error of a Client that was closed.
var ErrClosed = fmt.Errorf("kafka: the transport is %w", transport.ErrClosed)

// dial connects to an address and secures the connection. kafka-go calls it and then performs
// the SASL exchange.
func (c *Client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	// One limit for dialing, TLS and, through Link.SetDeadline, what kafka-go does afterwards.
	limit := time.Now().Add(c.Options.DialTimeout)
	ctx, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	var conn net.Conn
	var err error
	if network == seedNetwork {
		conn, addr, err = c.dialSeed(ctx, addr)
	} else {
		conn, err = c.dialOne(ctx, addr)
	}
	if err != nil {
		return nil, err
	}
	// From here on either Close finds the connection, or closed is seen here: a connection dialed
	// while the client was closing must not stay open.
	l := &Link{Conn: handshake.New(conn), wire: conn, client: c, address: addr, limit: limit}
	c.mu.Lock()
	closed := c.closed
	if !closed {
		c.links[l] = struct{}{}
	}
	c.mu.Unlock()
	if closed {
		_ = conn.Close()
		return nil, ErrClosed
	}
	return l, nil
}

// dialOne connects to one address, and records why if it can't.
func (c *Client) dialOne(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := c.connect(ctx, "tcp", addr)
	if err != nil && !errors.Is(err, context.Canceled) {
		c.noteSetup(addr, err)
	}
	return conn, err
}

// connect dials, and performs the TLS handshake with a configuration made for each connection,
// so that renewed certificate files are used.
func (c *Client) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	conf, err := c.Options.TLS(addr)
	if err != nil {
		return nil, err
	}
	conn, err := c.dialSafely(ctx, network, addr)
	if err != nil || conf == nil {
		return conn, err
	}
	secure := tls.Client(conn, conf)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("TLS handshake: %w", explainTLS(err))
	}
	return secure, nil
}

// dialSafely calls the user's dial function and catches its panic, which would end the program
// since this is a goroutine of ours.
func (c *Client) dialSafely(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	defer func() {
		if v := recover(); v != nil {
			conn, err = nil, fmt.Errorf("the configured Dial panicked: %v", v)
		}
	}()
	conn, err = c.Options.Dial(ctx, network, addr)
	if err == nil && conn == nil {
		err = errors.New("the configured Dial returned no connection and no error")
	}
	return conn, err
}

// noteSetup records why a connection to addr could not be set up; nil forgets it.
func (c *Client) noteSetup(addr string, err error) {
	err = c.expired(addr, err)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		delete(c.setupErrors, addr)
	} else {
		c.setupErrors[addr] = err
	}
}

// expired adds to a broker's alert that this client's certificate has expired, if it has: the
// alert may only call it bad.
func (c *Client) expired(addr string, err error) error {
	if op, ok := errors.AsType[*net.OpError](err); !ok || op.Op != "remote error" {
		return err
	}
	conf, failed := c.Options.TLS(addr)
	if failed != nil {
		return err
	}
	for _, pair := range conf.Certificates {
		if pair.Leaf != nil && time.Now().After(pair.Leaf.NotAfter) {
			return fmt.Errorf("%w (this client's certificate expired at %s)", err, pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
		}
	}
	return err
}

// explainTLS adds what a server that fails the handshake probably expects. A plain listener
// takes the beginning of a handshake for the size of a request, and hangs up or waits for the
// rest.
func explainTLS(err error) error {
	_, other := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the broker does not answer: does this listener expect connections without TLS? (%w)", err)
	case other:
		return fmt.Errorf("the server does not speak TLS: %w", err)
	}
	return err
}

// expectsSASL ends the text of errors on connections without SASL.
const expectsSASL = "this listener probably expects SASL. Set SASL"

// setupHint says what a broker that hangs up during set-up, instead of answering a request,
// probably expects. Every Kafka listener answers ApiVersions, even one that expects SASL,
// unless it expects TLS.
func (c *Client) setupHint(asked kmsg.Key) string {
	switch {
	case asked == kmsg.ApiVersions && c.Options.Secure:
		return ""
	case asked == kmsg.ApiVersions:
		return ": does this listener expect TLS? Set TLS or TLSFiles"
	case c.Options.SASL == nil:
		return ": " + expectsSASL
	}
	return ": are the SASL mechanism and credentials right?"
}

// dropLink forgets a connection that is being closed. It may be called twice.
func (c *Client) dropLink(l *Link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.links, l)
}
