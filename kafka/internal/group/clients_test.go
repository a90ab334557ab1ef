package group

import (
	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/kafka/internal/produce"
	"github.com/eventbus-go/eventbus/transport"
)

// membershipOf returns the membership options of a test, which may change them.
func membershipOf(b *bed.Bed) *Options {
	return b.Shared("membership", func() any { return &Options{Balancer: "cooperative-sticky"} }).(*Options)
}

// startProducer returns a producer that is closed at the end of the test.
func startProducer(b *bed.Bed, cfg transport.ProducerConfig) *produce.Producer {
	b.T.Helper()
	p, err := produce.NewProducer(bedclient.Of(b), cfg)
	if err != nil {
		b.T.Fatal(err)
	}
	bedclient.CloseAfter(b, p)
	return p
}
