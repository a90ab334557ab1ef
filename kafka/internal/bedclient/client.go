package bedclient

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
)

// Options returns options for brokers of a test, dialled by dial; nil dials the
// network.
func Options(brokers []string, dial func(context.Context, string, string) (net.Conn, error)) cluster.Options {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return cluster.Options{
		Brokers: brokers, ClientID: "eventbus", DialTimeout: 10 * time.Second, RequestTimeout: 30 * time.Second, Dial: dial,
		TLS:        func(string) (*tls.Config, error) { return nil, nil },
		SessionEnd: func(time.Time) time.Time { return time.Time{} },
	}
}

// Of returns the client that a test's producers and consumers share. It is closed
// at the end of the test.
func Of(b *bed.Bed) *cluster.Client {
	return b.Shared("client", func() any {
		c := cluster.NewClient(Options(b.ListenAddrs(), b.Wires.DialContext))
		b.T.Cleanup(c.Close)
		return c
	}).(*cluster.Client)
}

// CloseAfter closes c at the end of the test, within ten seconds.
func CloseAfter(b *bed.Bed, c interface{ Close(context.Context) error }) {
	b.T.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = c.Close(ctx)
	})
}
