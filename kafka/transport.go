package kafka

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/transport"
)

// Transport is an Apache Kafka cluster (2.8 or later). It is safe for concurrent
// use; its connections are shared by all producers and consumers made from it.
type Transport struct {
	client *client
	err    error // what is wrong with the configuration
}

// New returns the cluster that cfg describes, without connecting to it. If cfg
// is wrong, the first use of the Transport says so, as Validate does.
func New(cfg Config) *Transport {
	if err := cfg.Validate(); err != nil {
		return &Transport{err: err}
	}
	c, err := newClient(cfg.withDefaults())
	return &Transport{client: c, err: err}
}

// Cluster asks a broker who the cluster is. Its error names the addresses that
// were tried and what was wrong with each; credentials that were refused are
// transport.ErrUnauthorized.
func (t *Transport) Cluster(ctx context.Context) (transport.Cluster, error) {
	if t.err != nil {
		return transport.Cluster{}, t.err
	}
	resp, err := t.client.anyBroker(ctx, metadataRequest(nil))
	if err != nil {
		return transport.Cluster{}, fmt.Errorf("kafka: %w", err)
	}
	m := &t.client.metadata
	m.learnBrokers(resp.(*kmsg.MetadataResponse))
	m.mu.Lock()
	defer m.mu.Unlock()
	cluster := transport.Cluster{ID: m.clusterID}
	for _, b := range m.brokers {
		cluster.Brokers = append(cluster.Brokers, b)
	}
	slices.SortFunc(cluster.Brokers, func(a, b transport.Broker) int { return cmp.Compare(a.ID, b.ID) })
	return cluster, nil
}

// Throttled is how long brokers have asked the producers and consumers of this
// Transport to wait, in all, because of quotas.
func (t *Transport) Throttled() time.Duration {
	if t.err != nil {
		return 0
	}
	return time.Duration(t.client.throttled.Load())
}

// Close ends every connection. Calls that wait for one return an error that is
// transport.ErrClosed.
func (t *Transport) Close(context.Context) error {
	if t.err == nil {
		t.client.close()
	}
	return nil
}
