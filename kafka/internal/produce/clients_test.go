package produce

import (
	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/transport"
)

// startProducer returns a producer that is closed at the end of the test.
func startProducer(b *bed.Bed, cfg transport.ProducerConfig) *Producer {
	b.T.Helper()
	p, err := NewProducer(bedclient.Of(b), cfg)
	if err != nil {
		b.T.Fatal(err)
	}
	bedclient.CloseAfter(b, p)
	return p
}
