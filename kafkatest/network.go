package kafkatest

import (
	"context"
	"errors"
	"net"
	"sync"
)

// errCut is what connecting to lost brokers gives.
var errCut = errors.New("kafkatest: the brokers are disconnected")

// dialer makes connections, as kafka.Config.Dial does.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// network makes the connections of a cluster's buses to its brokers, and can lose
// them all. It is safe for concurrent use.
type network struct {
	reach dialer

	mu   sync.Mutex
	cuts int // what Disconnect began and nobody ended yet
	live map[*connection]struct{}
}

func newNetwork(reach dialer) *network {
	return &network{reach: reach, live: make(map[*connection]struct{})}
}

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
	if n.cuts > 0 { // while it was being made
		return nil, errors.Join(errCut, conn.Close())
	}
	n.live[c] = struct{}{}
	return c, nil
}

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
		_ = c.Conn.Close() // it may have ended already
	}
}

func (n *network) mend() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts--
}

// connection is one that can be cut.
type connection struct {
	net.Conn
	network *network
}

func (c *connection) Close() error {
	c.network.mu.Lock()
	delete(c.network.live, c)
	c.network.mu.Unlock()
	return c.Conn.Close()
}
