package cluster

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
)

// testOptions returns options for brokers of a test, dialled by dial; nil dials
// the network.
func testOptions(brokers []string, dial func(context.Context, string, string) (net.Conn, error)) Options {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return Options{
		Brokers: brokers, ClientID: "eventbus", DialTimeout: 10 * time.Second, RequestTimeout: 30 * time.Second, Dial: dial,
		TLS:        func(string) (*tls.Config, error) { return nil, nil },
		SessionEnd: func(time.Time) time.Time { return time.Time{} },
	}
}

// clientOf returns the client that a test's producers and consumers share.
func clientOf(b *bed.Bed) *Client {
	return b.Shared("client", func() any {
		c := NewClient(testOptions(b.ListenAddrs(), b.Wires.DialContext))
		b.T.Cleanup(c.Close)
		return c
	}).(*Client)
}
