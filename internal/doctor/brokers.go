package doctor

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/eventbus-go/eventbus/kafka"
)

// slow is the round trip above which a broker gets a warning. Within a data centre it
// takes less than a millisecond.
const slow = 100 * time.Millisecond

// Brokers connects to every broker at its advertised address. Clients bootstrap from one
// address and then use these; that they can't be reached is the most frequent fault of a
// new cluster.
func Brokers(ctx context.Context, found *Findings, t *kafka.Transport) {
	// This error is about the metadata, without which no broker's address is known. The error
	// of a single broker is in its probe.
	probes, err := kafka.NewAdmin(t).Probe(ctx)
	if err != nil {
		found.Add("brokers", Bad, "see whether the cluster has a controller", "%v", err)
		return
	}
	for _, p := range probes {
		name := fmt.Sprintf("broker %d", p.ID)
		at := fmt.Sprintf("%s:%d", p.Host, p.Port)
		switch {
		// Clients may still bootstrap. They fail with the first request to a partition that this
		// broker leads, which looks like a fault of one topic.
		case p.Err != nil:
			found.Add(name, Bad, "the cluster names this address (advertised.listeners): it has to be reachable from here, and the broker to run", "%s: %v", at, p.Err)
		case p.Took > slow:
			found.Add(name, Warning, "publishing takes at least one such round trip: run closer to the brokers, or look at their load", "%s answers in %s, speaks Kafka %s", at, p.Took.Round(time.Millisecond), p.Version)
		default:
			found.Add(name, Fine, "", "%s answers in %s, speaks Kafka %s", at, p.Took.Round(10*time.Microsecond), p.Version)
		}
		// The first certificate is the broker's own; the others are those of authorities (RFC 8446,
		// section 4.4.2).
		if p.TLS != nil && len(p.TLS.PeerCertificates) > 0 {
			certificate(found, name+" TLS", p.TLS.PeerCertificates[0].NotAfter)
		}
	}
	// With fewer brokers, events that were acknowledged may be lost with one of them, or writes
	// stop.
	if len(probes) < 3 {
		found.Add("cluster", Warning, "run three brokers or more, with replication 3 and min.insync.replicas 2, where events must survive the loss of one",
			"%s", counted(len(probes), "broker"))
	}
}

// certificate warns from two weeks before a broker's certificate expires.
func certificate(found *Findings, check string, until time.Time) {
	left := time.Until(until).Round(time.Hour)
	// An expired one does not get here: the handshake fails, and with it the probe.
	if left < 14*24*time.Hour {
		found.Add(check, Warning, "renew it", "the certificate ends in %s", left)
		return
	}
	found.Add(check, Fine, "", "the certificate is good until %s", until.Format(time.DateOnly))
}

// Rights checks whether these credentials may create topics. If not, that is fine: many
// clusters provision topics with other credentials.
func Rights(ctx context.Context, found *Findings, t *kafka.Transport) {
	rights, err := kafka.NewAdmin(t).ClusterRights(ctx)
	switch {
	// Brokers report rights since KIP-430. Older ones, and those that do not let this client
	// describe the cluster, leave them out, which is not a fault.
	case err != nil || !rights.Known:
		found.Add("ACLs", Unknown, "", "the brokers do not report the rights of this client on the cluster")
	case !rights.Allow(kafka.OperationCreate):
		found.Add("ACLs", Fine, "", "topics can't be created with these credentials: provision them with others")
	default:
		found.Add("ACLs", Fine, "", "topics can be created")
	}
}

// Security checks the configuration of TLS and SASL. The connection has shown that they
// work.
func Security(found *Findings, c *kafka.Config) {
	// TLS is configured by a tls.Config in the program, or by files.
	secure := c.TLS != nil || c.TLSFiles != kafka.TLSFiles{}
	switch {
	case secure:
		found.Add("TLS", Fine, "", "connections are encrypted")
	case Loopback(c.Brokers):
		found.Add("TLS", Fine, "", "not used, and all brokers are on this machine")
	default:
		found.Add("TLS", Warning, "configure EventBus__Tls__CaFile, or run in a network that you trust", "not used: what is published can be read on the way")
	}
	switch mechanism := c.SASL.Mechanism; {
	case mechanism == "":
		found.Add("SASL", Fine, "", "not used")
	case secure:
		found.Add("SASL", Fine, "", "%s", c.SASL)
	// SCRAM proves the password without sending it. PLAIN (RFC 4616) sends it, and OAUTHBEARER
	// (RFC 7628) sends a token that works for anyone who reads it.
	case mechanism == "PLAIN":
		found.Add("SASL", Warning, "use TLS as well, or SCRAM-SHA-512", "PLAIN without TLS: the password can be read on the way")
	case mechanism == "OAUTHBEARER":
		found.Add("SASL", Warning, "use TLS as well", "OAUTHBEARER without TLS: the token can be read on the way, and used until it expires")
	default:
		found.Add("SASL", Fine, "", "%s", c.SASL)
	}
}

// Loopback reports whether all addresses are on this machine.
func Loopback(addresses []string) bool {
	for _, address := range addresses {
		// An address that can't be split has an empty host, and counts as another machine, so that
		// the warning stays.
		host, _, _ := net.SplitHostPort(address)
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}
