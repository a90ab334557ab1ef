package cluster

import (
	"maps"
	rand "math/rand/v2"
	"net"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/transport"
)

// LearnBrokers takes over the brokers, and tells kafka-go when one has come,
// moved or gone.
func (m *Metadata) LearnBrokers(resp *kmsg.MetadataResponse) {
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
	m.Mu.Lock()
	changed := len(m.Brokers) > 0 && !maps.Equal(m.Brokers, brokers)
	m.Brokers = brokers
	m.Controller = resp.ControllerID
	if id := resp.ClusterID; id != nil && *id != m.ClusterID {
		m.ClusterID = *id
		clear(m.IDs) // of another cluster's topics
	}
	m.Mu.Unlock()
	if changed {
		// In the background, since the pool may be waiting for a dead broker
		// itself. Who needs a broker that it doesn't know waits for it.
		m.Client.Spawn(func() { _ = m.Client.refreshPool(m.Client.Ctx) })
	}
}

// broker is a broker that the cluster was last known to have.
func (m *Metadata) broker(id int32) (transport.Broker, bool) {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	b, ok := m.Brokers[id]
	return b, ok
}

// brokerIDs are the known brokers in random order.
func (m *Metadata) brokerIDs() []int32 {
	m.Mu.Lock()
	ids := slices.Collect(maps.Keys(m.Brokers))
	m.Mu.Unlock()
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return ids
}

// address is host:port of a broker.
func address(b transport.Broker) string {
	return net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
}
