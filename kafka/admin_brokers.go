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

// BrokerProbe is how a broker answered.
type BrokerProbe struct {
	transport.Broker
	// Err is why it did not; what follows is zero then.
	Err error
	// Took is how long one exchange took on a connection that stood already.
	Took time.Duration
	// Version is the release that speaks what the broker does, such as "v4.2":
	// brokers don't tell theirs.
	Version string
	// TLS is the connection's, nil without TLS.
	TLS *tls.ConnectionState
}

// Probe connects to every broker that the cluster names, by id. Its error is
// that of Cluster.
func (t *Transport) Probe(ctx context.Context) ([]BrokerProbe, error) {
	cluster, err := t.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	probes := make([]BrokerProbe, len(cluster.Brokers))
	for i, b := range cluster.Brokers {
		probes[i] = probe(t.client, ctx, b)
	}
	return probes, nil
}

func probe(c *cluster.Client, ctx context.Context, b transport.Broker) BrokerProbe {
	probe := BrokerProbe{Broker: b}
	within, cancel := context.WithTimeout(ctx, c.Cfg.DialTimeout)
	defer cancel()
	deadline, _ := within.Deadline()
	err := c.Hold(within, b.ID, func(w *cluster.Conn) error {
		asked := time.Now()
		resp, err := w.ApiVersions(3, deadline)
		if err == nil && kerr.Error(resp.ErrorCode) == kerr.UnsupportedVersion {
			resp, err = w.ApiVersions(0, deadline)
		}
		if err != nil {
			return fmt.Errorf("asking for the versions that the broker speaks: %w", err)
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
