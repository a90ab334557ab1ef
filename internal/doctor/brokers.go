package doctor

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/eventbus-go/eventbus/kafka"
)

// slow is the round trip above which a broker gets a warning. Within one data
// centre it takes less than a millisecond.
const slow = 100 * time.Millisecond

// Brokers connects to every broker at the address that the cluster advertises. Clients
// bootstrap from one address and then use these; that they can't be reached is the most
// frequent fault of a new cluster.
func Brokers(ctx context.Context, found *Findings, t *kafka.Transport) {
	// An error here is that of the metadata, without which no broker's address is known. A
	// broker that does not answer has its error in its own probe.
	probes, err := kafka.NewAdmin(t).Probe(ctx)
	if err != nil {
		found.Add("brokers", Bad, "see whether the cluster has a controller", "%v", err)
		return
	}
	for _, p := range probes {
		name := fmt.Sprintf("broker %d", p.ID)
		at := fmt.Sprintf("%s:%d", p.Host, p.Port)
		switch {
		// A client can still bootstrap. It fails at its first request to a partition that
		// this broker leads, which looks like a fault of one topic.
		case p.Err != nil:
			found.Add(name, Bad, "the cluster names this address (advertised.listeners): it has to be reachable from here, and the broker to run", "%s: %v", at, p.Err)
		case p.Took > slow:
			found.Add(name, Warning, "publishing takes at least one such round trip: run closer to the brokers, or look at their load", "%s answers in %s, speaks Kafka %s", at, p.Took.Round(time.Millisecond), p.Version)
		default:
			found.Add(name, Fine, "", "%s answers in %s, speaks Kafka %s", at, p.Took.Round(10*time.Microsecond), p.Version)
		}
		// The first certificate is the broker's own (RFC 8446, section 4.4.2); the others are
		// those of authorities.
		if p.TLS != nil && len(p.TLS.PeerCertificates) > 0 {
			certificate(found, name+" TLS", p.TLS.PeerCertificates[0].NotAfter)
		}
	}
	// With fewer brokers, the loss of one leaves too few replicas to acknowledge writes.
	if len(probes) < 3 {
		found.Add("cluster", Warning, "run three brokers or more, with replication 3 and min.insync.replicas 2, where events must survive the loss of one",
			"%s", counted(len(probes), "broker"))
	}
}

// certificate warns two weeks before a broker's certificate expires.
func certificate(found *Findings, check string, until time.Time) {
	left := time.Until(until).Round(time.Hour)
	// An expired certificate never gets here: the handshake fails, and with it the probe.
	if left < 14*24*time.Hour {
		found.Add(check, Warning, "renew it", "the certificate ends in %s", left)
		return
	}
	found.Add(check, Fine, "", "the certificate is good until %s", until.Format(time.DateOnly))
}

// Rights checks whether these credentials may create topics. It is fine if they may not: many
// clusters provision topics with other credentials.
func Rights(ctx context.Context, found *Findings, t *kafka.Transport) {
	rights, err := kafka.NewAdmin(t).ClusterRights(ctx)
	switch {
	// Brokers report rights by KIP-430. Old ones, and those that do not let this client
	// describe the cluster, leave them out, which is not a fault.
	case err != nil || !rights.Known:
		found.Add("ACLs", Unknown, "", "the brokers do not tell what this client may do with the cluster")
	case !rights.Allow(kafka.OperationCreate):
		found.Add("ACLs", Fine, "", "topics can't be created with these credentials: provision them with others")
	default:
		found.Add("ACLs", Fine, "", "topics can be created")
	}
}

// Security checks the configuration of TLS and SASL. The connection has already shown that
// they work.
func Security(found *Findings, c *kafka.Config) {
	// TLS is configured by the program's tls.Config or by files.
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
	// SCRAM proves the password without sending it. PLAIN (RFC 4616) sends it in the clear,
	// and OAUTHBEARER (RFC 7628) sends a token that anyone who reads it can use.
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
		// An address that can't be split has an empty host and counts as another machine, so
		// that the warning stays when in doubt.
		host, _, _ := net.SplitHostPort(address)
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}
