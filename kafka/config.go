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

// Config says how to reach and use a cluster. Brokers is all that is needed.
//
// However a Config is printed or logged, passwords and tokens are left out.
type Config struct {
	// Brokers are addresses, host:port, of some brokers of the cluster. Any one
	// that answers tells of all others.
	Brokers []string
	// ClientID names this program in the brokers' logs and quotas. Default "eventbus".
	ClientID string

	// TLS, if not nil, secures connections; it is cloned for each. ServerName
	// defaults to the host that is dialled.
	TLS *tls.Config
	// TLSFiles secures connections with certificates from files. Set it or TLS.
	TLSFiles TLSFiles
	// SASL authenticates connections.
	SASL SASL

	// Compression of producers whose own configuration names none: "none"
	// (default), "gzip", "snappy", "lz4" or "zstd".
	Compression string

	// DialTimeout bounds making one connection, with TLS and SASL. Default 10 s.
	DialTimeout time.Duration
	// RequestTimeout bounds one request beyond the time that it asks the broker
	// itself to wait. Default 30 s.
	RequestTimeout time.Duration
	// Dial makes network connections. Default net.Dialer's DialContext. It is
	// for tests and tunnels.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Balancer spreads partitions over the members of a group:
	// "cooperative-sticky" (default), "range" or "roundrobin". All members of a
	// group use the same one; members that share none can't be in one group.
	Balancer string
	// InstanceID makes consumers static members (KIP-345): the default of
	// transport.ConsumerConfig.InstanceID.
	InstanceID string
	// Rack is where this program runs, as brokers name it in broker.rack.
	// Consumers then fetch from a replica nearby if the cluster allows (KIP-392).
	Rack string
	// ConsumerProtocol uses the group protocol of KIP-848, in which the broker
	// spreads the partitions. It needs Apache Kafka 4.0.
	ConsumerProtocol bool
}

// Validate tells everything that is wrong with the configuration, field by
// field, and what to write instead. It reads certificate files.
func (c Config) Validate() error {
	var wrong kerr.Faults
	if len(c.Brokers) == 0 {
		wrong.Add(`Brokers is empty: list at least one host:port, such as "localhost:9092"`)
	}
	for i, addr := range c.Brokers {
		if err := validAddress(addr); err != "" {
			wrong.Add(`Brokers[%d] %q %s: write host:port, such as "localhost:9092"`, i, addr, err)
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
	return wrong.Err("kafka.Config")
}

var balancers = []string{"cooperative-sticky", "range", "roundrobin"}

// validAddress is what is wrong with a broker's address, empty if nothing is.
func validAddress(addr string) string {
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

// withDefaults fills in what was left zero.
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

// String describes the configuration without its secrets.
func (c Config) String() string {
	s := fmt.Sprintf("kafka.Config{Brokers: %s, ClientID: %q", strings.Join(c.Brokers, ","), c.ClientID)
	if c.secure() {
		s += ", TLS"
	}
	if c.SASL.Mechanism != "" {
		s += ", SASL: " + c.SASL.String()
	}
	return s + "}"
}

// Format prints String for every verb, so that no verb prints secrets.
func (c Config) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// LogValue logs the configuration without its secrets.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }
