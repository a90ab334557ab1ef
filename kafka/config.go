package kafka

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/batch"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// Config describes a cluster and how to connect to it. Only Brokers is required;
// the zero value of every other field is its default.
//
// A Config never shows passwords or tokens when it is printed or logged, whatever the
// fmt verb.
type Config struct {
	// Brokers lists the addresses, host:port, of some brokers of the cluster. A single
	// one that answers is enough, since it knows the others.
	Brokers []string
	// ClientID names this program in the brokers' logs and quotas. Default "eventbus".
	ClientID string

	// TLS, if not nil, secures connections. It is cloned for each connection and must not
	// be changed after New. An empty ServerName means the dialed host.
	TLS *tls.Config
	// TLSFiles, if not zero, secures connections with certificates from files. At
	// most one of TLS and TLSFiles may be set.
	TLSFiles TLSFiles
	// SASL authenticates connections. The zero value does not.
	SASL SASL

	// Compression applies to producers whose own configuration names none: "none"
	// (default), "gzip", "snappy", "lz4" or "zstd".
	Compression string

	// DialTimeout bounds establishing one connection, including TLS and SASL. Default
	// 10 s.
	DialTimeout time.Duration
	// RequestTimeout bounds one request, not counting the time that it asks the broker to
	// wait. Default 30 s.
	RequestTimeout time.Duration
	// Dial connects to an address, for tests and tunnels. It is called concurrently. TLS
	// and SASL run on the connection that it returns. Default: a net.Dialer's
	// DialContext.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Balancer is the strategy by which the leader of a group assigns partitions
	// to members: "cooperative-sticky" (default), "range" or "roundrobin". All
	// members of a group must use the same. It does not apply to ConsumerProtocol.
	Balancer string
	// InstanceID is the default of transport.ConsumerConfig.InstanceID. It makes consumers
	// static members (KIP-345), which keep their partitions across a restart. It must be
	// unique within a group. Empty means dynamic members.
	InstanceID string
	// Rack is the location of this program, named as in the brokers' broker.rack. If the
	// cluster allows it (KIP-392), consumers then fetch from a replica in the same rack.
	// Empty means fetching from the leader.
	Rack string
	// ConsumerProtocol selects the group protocol of KIP-848, in which the broker assigns
	// partitions. It requires Apache Kafka 4.0 or later.
	ConsumerProtocol bool
}

// Validate returns an error that lists every invalid field and its allowed values, or
// nil. It reads the certificate files and does not connect.
func (c Config) Validate() error {
	var wrong kerr.Faults
	if len(c.Brokers) == 0 {
		wrong.Add(`Brokers is empty: list at least one host:port, such as "localhost:9092"`)
	}
	for i, addr := range c.Brokers {
		if fault := addressFault(addr); fault != "" {
			wrong.Add(`Brokers[%d] %q %s: write host:port, such as "localhost:9092"`, i, addr, fault)
		}
	}
	c.validateTLS(&wrong)
	c.SASL.validate(&wrong)
	kerr.OneOf(&wrong, "Compression", c.Compression, batch.Compressions[:])
	kerr.OneOf(&wrong, "Balancer", c.Balancer, balancers)
	if c.DialTimeout < 0 {
		wrong.Add("DialTimeout is negative: write a positive duration, or 0 for 10 s")
	}
	if c.RequestTimeout < 0 {
		wrong.Add("RequestTimeout is negative: write a positive duration, or 0 for 30 s")
	}
	for _, d := range []time.Duration{c.DialTimeout, c.RequestTimeout} {
		if d > 0 && d < time.Millisecond {
			wrong.Add("DialTimeout or RequestTimeout is %v: write a millisecond or more; a number without a unit counts nanoseconds", d)
		}
	}
	return wrong.Err("kafka.Config")
}

var balancers = []string{"cooperative-sticky", "range", "roundrobin"}

// addressFault returns what is wrong with a broker's address, as the predicate of a
// sentence, or "".
func addressFault(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	switch {
	case err != nil && strings.Contains(addr, "://"):
		return "is a URL"
	case err != nil:
		return "has no port, or no brackets around an IPv6 address"
	case host == "":
		return "has no host"
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "has no valid port number"
	}
	return ""
}

// withDefaults returns c with every zero field set to its default.
func (c Config) withDefaults() Config {
	c.Brokers = slices.Clone(c.Brokers)
	if c.ClientID == "" {
		c.ClientID = "eventbus"
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = 10 * time.Second
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = 30 * time.Second
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
	if c.Compression == "" {
		c.Compression = "none"
	}
	if c.Balancer == "" {
		c.Balancer = "cooperative-sticky"
	}
	return c
}

// String returns a short form of the configuration, without secrets.
func (c Config) String() string {
	s := fmt.Sprintf("kafka.Config{Brokers: %s, ClientID: %q", strings.Join(c.Brokers, ","), c.ClientID)
	if c.secure() {
		s += ", TLS"
	}
	if c.SASL.Mechanism != "" || c.SASL.Custom != nil {
		s += ", SASL: " + c.SASL.String()
	}
	return s + "}"
}

// Format prints String for every verb: %#v, for one, would print secrets.
func (c Config) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// LogValue returns String, so that package log/slog logs no secrets.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }
