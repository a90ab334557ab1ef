package kafka

import (
	"context"

	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/produce"
	"github.com/eventbus-go/eventbus/transport"
)

// transportOf returns the Transport of a test.
func transportOf(b *bed.Bed) *Transport {
	return b.Shared("transport", func() any {
		tr := New(Config{Brokers: b.ListenAddrs(), Dial: b.Wires.DialContext})
		b.T.Cleanup(func() { _ = tr.Close(context.Background()) })
		return tr
	}).(*Transport)
}

// startProducer returns a producer that is closed with the test.
func startProducer(b *bed.Bed, cfg transport.ProducerConfig) *produce.Producer {
	b.T.Helper()
	p, err := produce.NewProducer(transportOf(b).client, cfg)
	if err != nil {
		b.T.Fatal(err)
	}
	bedclient.CloseAfter(b, p)
	return p
}
