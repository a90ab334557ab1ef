package group

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/produce"
	"github.com/eventbus-go/eventbus/transport"
)

// testOptions returns options for brokers of a test, dialled by dial; nil dials
// the network.
func testOptions(brokers []string, dial func(context.Context, string, string) (net.Conn, error)) cluster.Options {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return cluster.Options{
		Brokers: brokers, ClientID: "eventbus", DialTimeout: 10 * time.Second, RequestTimeout: 30 * time.Second, Dial: dial,
		TLS:        func(string) (*tls.Config, error) { return nil, nil },
		SessionEnd: func(time.Time) time.Time { return time.Time{} },
	}
}

// clientOf returns the client that a test's producers and consumers share.
func clientOf(b *bed.Bed) *cluster.Client {
	return b.Shared("client", func() any {
		c := cluster.NewClient(testOptions(b.ListenAddrs(), b.Wires.DialContext))
		b.T.Cleanup(c.Close)
		return c
	}).(*cluster.Client)
}

// membershipOf returns the membership options of a test, for it to change.
func membershipOf(b *bed.Bed) *Options {
	return b.Shared("membership", func() any { return &Options{Balancer: "cooperative-sticky"} }).(*Options)
}

// startProducer returns a producer that is closed with the test.
func startProducer(b *bed.Bed, cfg transport.ProducerConfig) *produce.Producer {
	b.T.Helper()
	p, err := produce.NewProducer(clientOf(b), cfg)
	if err != nil {
		b.T.Fatal(err)
	}
	b.T.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = p.Close(ctx)
	})
	return p
}
