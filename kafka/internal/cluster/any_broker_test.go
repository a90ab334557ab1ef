package cluster

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
)

// TestAnyBrokerSilent: a frozen broker does not keep others from answering, and is
// not asked first again.
func TestAnyBrokerSilent(t *testing.T) {
	for frozen := range int32(3) {
		bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
			if _, err := clientOf(b).Describe(t.Context()); err != nil {
				t.Fatal(err)
			}
			b.Control(func(kmsg.Request) (kmsg.Response, error, bool) {
				b.KeepControl()
				return nil, nil, b.CurrentNode() == frozen
			})
			begun := time.Now()
			for range 10 {
				if _, err := clientOf(b).Describe(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			// The bootstrap connection may lead to it, and so may the next.
			if took := time.Since(begun); took > 3*silence {
				t.Errorf("broker %d is frozen: asked ten times in %s", frozen, took)
			}
		}, bed.ThreeBrokers()...)
	}
}
