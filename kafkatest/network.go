package kafkatest

import (
	"context"
	"errors"
	"net"
	"sync"
)

// errCut is the error of connecting to brokers that are disconnected.
var errCut = errors.New("kafkatest: the brokers are disconnected")

// dialer makes connections, as kafka.Config.Dial does.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// network makes the connections of a cluster's buses to its brokers, and can lose
// them all. It is safe for concurrent use.
type network struct {
	// reach makes the real connection.
	reach dialer

	mu sync.Mutex
	// cuts is how many Disconnects are not mended yet.
	cuts int
	// live has the connections that are open.
	live map[*connection]struct{}
}

// newNetwork returns a network that works, over a dialer.
func newNetwork(reach dialer) *network {
	return &network{reach: reach, live: make(map[*connection]struct{})}
}

// dial is the kafka.Config.Dial of all buses.
func (n *network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if n.down() {
		return nil, errCut
	}
	conn, err := n.reach(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &connection{conn, n}
	n.mu.Lock()
	defer n.mu.Unlock()
	// The cut may have come while the connection was being made.
	if n.cuts > 0 {
		return nil, errors.Join(errCut, conn.Close())
	}
	n.live[c] = struct{}{}
	return c, nil
}

// down reports whether the brokers are disconnected.
func (n *network) down() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cuts > 0
}

// cut ends all connections, and refuses new ones until it is mended as often as
// it was cut.
func (n *network) cut() {
	n.mu.Lock()
	n.cuts++
	live := n.live
	n.live = make(map[*connection]struct{})
	n.mu.Unlock()
	for c := range live {
		// It may have ended already.
		_ = c.Conn.Close()
	}
}

// mend ends one cut.
func (n *network) mend() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts--
}

// connection is a connection that can be cut.
type connection struct {
	net.Conn
	network *network
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.network.mu.Lock()
	delete(c.network.live, c)
	c.network.mu.Unlock()
	return c.Conn.Close()
}
