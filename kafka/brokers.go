package kafka

import (
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/transport"
)

// learnBrokers takes over the brokers, and tells kafka-go when one has come,
// moved or gone.
func (m *metadata) learnBrokers(resp *kmsg.MetadataResponse) {
	brokers := make(map[int32]transport.Broker, len(resp.Brokers))
	for _, b := range resp.Brokers {
		broker := transport.Broker{ID: b.NodeID, Host: b.Host, Port: b.Port}
		if b.Rack != nil {
			broker.Rack = *b.Rack
		}
		brokers[b.NodeID] = broker
	}
	if len(brokers) == 0 {
		return
	}
	m.mu.Lock()
	changed := len(m.brokers) > 0 && !maps.Equal(m.brokers, brokers)
	m.brokers = brokers
	m.controller = resp.ControllerID
	if id := resp.ClusterID; id != nil && *id != m.clusterID {
		m.clusterID = *id
		clear(m.ids) // of another cluster's topics
	}
	m.mu.Unlock()
	if changed {
		// In the background, since the pool may be waiting for a dead broker
		// itself. Who needs a broker that it doesn't know waits for it.
		m.client.spawn(func() { _ = m.client.refreshPool(m.client.ctx) })
	}
}

// broker is a broker that the cluster was last known to have.
func (m *metadata) broker(id int32) (transport.Broker, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.brokers[id]
	return b, ok
}

// brokerIDs are the known brokers in random order.
func (m *metadata) brokerIDs() []int32 {
	m.mu.Lock()
	ids := slices.Collect(maps.Keys(m.brokers))
	m.mu.Unlock()
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return ids
}

// address is host:port of a broker.
func address(b transport.Broker) string {
	return net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
}
