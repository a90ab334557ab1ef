//go:build unix

package cluster

import (
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
)

// hangingUp is a listener whose connections a test can close from the broker's
// side.
type hangingUp struct {
	net.Listener
	mu    sync.Mutex
	conns []*answering
}

func (l *hangingUp) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	accepted := &answering{Conn: conn}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, accepted)
	return accepted, nil
}

// answering is a connection that is idle once it has answered the last request that
// it read.
type answering struct {
	net.Conn
	idle atomic.Bool
}

func (c *answering) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.idle.Store(false)
	}
	return n, err
}

func (c *answering) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.idle.Store(true)
	return n, err
}

// hangUp closes the idle connections, but not one that the pool is still setting
// up: a request that waits for that one would rightly fail.
func (l *hangingUp) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = slices.DeleteFunc(l.conns, func(conn *answering) bool {
		return conn.idle.Load() && conn.Close() == nil
	})
}

// TestIdleConnectionsLost: no request fails because brokers closed pooled
// connections while they were idle.
func TestIdleConnectionsLost(t *testing.T) {
	var listener *hangingUp
	b := bed.NewBed(t, 1, kfake.NumBrokers(1), kfake.ListenFn(func(network, address string) (net.Listener, error) {
		l, err := net.Listen(network, address)
		listener = &hangingUp{Listener: l}
		return listener, err
	}))
	c := NewClient(testOptions(b.ListenAddrs(), nil)) // real network connections, which alive can check
	defer c.Close()
	for range 3 {
		for _, broker := range []int32{-1, 0} {
			if _, err := c.Request(t.Context(), broker, MetadataRequest(nil)); err != nil {
				t.Fatalf("broker %d: %v", broker, err)
			}
		}
		listener.hangUp()
	}
}
