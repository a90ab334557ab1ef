package cluster

import (
	"net"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
)

// TestSeedsReplaced: brokers are replaced one by one until none of the bootstrap
// addresses is left, and a client that has seen each replacement finds brokers that
// are added later.
func TestSeedsReplaced(t *testing.T) {
	b := bed.NewBed(t, 1)
	c := clientOf(b)
	learn := func() {
		t.Helper()
		resp, err := c.AnyBroker(t.Context(), MetadataRequest(nil))
		if err != nil {
			t.Fatal(err)
		}
		c.metadata.learnBrokers(resp.(*kmsg.MetadataResponse))
	}
	learn()
	seeds := b.ListenAddrs()
	first, _, err := b.AddNode(71, 0)
	if err != nil {
		t.Fatal(err)
	}
	learn()
	for id, addr := range seeds {
		b.Wires.SetDown(addr, true)
		if err := b.RemoveNode(int32(id)); err != nil {
			t.Fatal(err)
		}
	}
	// A broker is added after the last seed has gone.
	second, port, err := b.AddNode(72, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.Wires.SetDown(net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), false) // it may be the port of a former seed
	learn()
	for _, id := range []int32{first, second, -1} {
		// The connection to a removed broker may be closed during a request.
		err := c.Persist(t.Context(), func() error {
			_, err := c.Request(t.Context(), id, MetadataRequest(nil))
			return err
		})
		if err != nil {
			t.Errorf("broker %d: %v", id, err)
		}
	}
}
