package cluster

import (
	"context"
	"maps"
	rand "math/rand/v2"
	"net"
	"slices"
	"sort"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/transport"
)

// Describe asks any broker for the cluster's id and its brokers. It returns them in order of id.
func (c *Client) Describe(ctx context.Context) (transport.Cluster, error) {
	resp, err := c.AnyBroker(ctx, MetadataRequest(nil))
	if err != nil {
		return transport.Cluster{}, err
	}
	m := &c.metadata
	m.learnBrokers(resp.(*kmsg.MetadataResponse))
	m.mu.Lock()
	defer m.mu.Unlock()
	found := transport.Cluster{ID: m.clusterID, Brokers: slices.Collect(maps.Values(m.brokers))}
	// Not slices.SortFunc: a program links 12 kB of it for each type.
	sort.Slice(found.Brokers, func(i, k int) bool { return found.Brokers[i].ID < found.Brokers[k].ID })
	return found, nil
}

// learnBrokers records the brokers in a response. If one was added, moved or removed, it makes
// kafka-go ask for the brokers too.
func (m *metadata) learnBrokers(resp *kmsg.MetadataResponse) {
	brokers := make(map[int32]transport.Broker, len(resp.Brokers))
	for _, b := range resp.Brokers {
		broker := transport.Broker{ID: b.NodeID, Host: b.Host, Port: b.Port}
		if b.Rack != nil {
			broker.Rack = *b.Rack
		}
		brokers[b.NodeID] = broker
	}
	// A response without brokers is from a broker that is starting, and says nothing.
	if len(brokers) == 0 {
		return
	}
	m.mu.Lock()
	changed := len(m.brokers) > 0 && !maps.Equal(m.brokers, brokers)
	m.brokers = brokers
	m.controller = resp.ControllerID
	if id := resp.ClusterID; id != nil && *id != m.clusterID {
		m.clusterID = *id
		clear(m.ids) // of topics of another cluster
	}
	m.mu.Unlock()
	if changed {
		// In the background, since the pool itself may be waiting for a dead broker. Callers
		// that need an unknown broker wait for the refresh.
		m.client.Spawn(func() { _ = m.client.refreshPool(m.client.Ctx) })
	}
}

// broker returns a broker that the cluster was last known to have.
func (m *metadata) broker(id int32) (transport.Broker, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.brokers[id]
	return b, ok
}

// brokerIDs returns the ids of the known brokers, in random order.
func (m *metadata) brokerIDs() []int32 {
	m.mu.Lock()
	ids := slices.Collect(maps.Keys(m.brokers))
	m.mu.Unlock()
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return ids
}

// address returns a broker's host:port.
func address(b transport.Broker) string {
	return net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
}
