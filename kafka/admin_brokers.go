package kafka

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// cluster describes the cluster, with its brokers by id.
func (a *Admin) cluster(ctx context.Context) (transport.Cluster, error) {
	if a.err != nil {
		return transport.Cluster{}, a.err
	}
	found, err := a.client.Describe(ctx)
	if err != nil {
		return transport.Cluster{}, fmt.Errorf("kafka: %w", err)
	}
	return found, nil
}

// BrokerProbe is the result of connecting to one broker.
type BrokerProbe struct {
	transport.Broker
	// Err is nil if the broker answered. Otherwise the fields below are zero.
	Err error
	// Took is the duration of one request on an established connection.
	Took time.Duration
	// Version is the Kafka release that supports the same requests as the broker,
	// such as "v4.2". It is a guess: the protocol has no field for the release.
	Version string
	// TLS describes the connection. It is nil without TLS.
	TLS *tls.ConnectionState
}

// Probe connects to each broker of the cluster, one after another, at its advertised address,
// and sends a request. The results are in the order of the brokers' ids. A broker that does not
// answer within Config.DialTimeout is not an error of Probe, but of its BrokerProbe.
func (a *Admin) Probe(ctx context.Context) ([]BrokerProbe, error) {
	found, err := a.cluster(ctx)
	if err != nil {
		return nil, err
	}
	probes := make([]BrokerProbe, len(found.Brokers))
	for i, b := range found.Brokers {
		probes[i] = probe(ctx, a.client, b)
	}
	return probes, nil
}

func probe(ctx context.Context, c *cluster.Client, b transport.Broker) BrokerProbe {
	probe := BrokerProbe{Broker: b}
	within, cancel := context.WithTimeout(ctx, c.Options.DialTimeout)
	defer cancel()
	deadline, _ := within.Deadline()
	err := c.Hold(within, b.ID, func(w *cluster.Conn) error {
		asked := time.Now()
		resp, err := w.ApiVersions(3, deadline)
		if err == nil && kerr.Error(resp.ErrorCode) == kerr.UnsupportedVersion {
			resp, err = w.ApiVersions(0, deadline)
		}
		if err != nil {
			return fmt.Errorf("asking for the versions that the broker supports: %w", err)
		}
		probe.Took = time.Since(asked)
		probe.Version = kversion.FromApiVersionsResponse(resp).VersionGuess()
		probe.TLS = w.Link.TLS()
		return kerr.CodeError(resp.ErrorCode)
	})
	if err != nil {
		probe = BrokerProbe{Broker: b, Err: fmt.Errorf("kafka: %w", err)}
	}
	return probe
}
