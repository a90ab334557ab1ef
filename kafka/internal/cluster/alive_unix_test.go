//go:build unix

package cluster

import (
	"net"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
)

// hangingUp is a listener whose connections a test closes from the broker's side.
type hangingUp struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (l *hangingUp) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		l.conns = append(l.conns, conn)
		l.mu.Unlock()
	}
	return conn, err
}

func (l *hangingUp) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.conns {
		_ = conn.Close()
	}
	l.conns = nil
}

// TestIdleConnectionsLost: pooled connections that brokers closed while they were
// idle fail no request.
func TestIdleConnectionsLost(t *testing.T) {
	var listener *hangingUp
	b := bed.NewBed(t, 1, kfake.NumBrokers(1), kfake.ListenFn(func(network, address string) (net.Listener, error) {
		l, err := net.Listen(network, address)
		listener = &hangingUp{Listener: l}
		return listener, err
	}))
	c := NewClient(testOptions(b.ListenAddrs(), nil)) // the network's own connections can be asked
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
