package kafkatest

import (
	"context"
	"errors"
	"net"
	"sync"
)

// errCut is the error of dialing while the brokers are disconnected.
var errCut = errors.New("kafkatest: the brokers are disconnected")

// dialer is a function for kafka.Config.Dial.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// network dials the brokers for a cluster's buses, and can cut all connections. It is
// safe for concurrent use.
type network struct {
	// reach makes a connection, even during a cut.
	reach dialer

	mu sync.Mutex
	// cuts counts the Disconnects that are not undone.
	cuts int
	// live has the connections that are open.
	live map[*connection]struct{}
}

// newNetwork returns a network that is not cut.
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
	// The network may have been cut while the connection was being made.
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

// cut ends all connections and refuses new ones until mend has been called as often as
// cut.
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

// mend undoes one cut.
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
