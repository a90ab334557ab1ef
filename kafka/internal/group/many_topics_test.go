package group

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/kafka/internal/bedclient"
	"github.com/eventbus-go/eventbus/transport"
)

// TestManyTopics: a member looks up many topics with few requests, when the group begins on
// them and when brokers are lost.
func TestManyTopics(t *testing.T) {
	const topics = 200
	for _, epochs := range []bool{false, true} {
		bed.Bubble(t, 1, func(t *testing.T, b *bed.Bed) {
			membershipOf(b).ConsumerProtocol = epochs
			var asked atomic.Int64
			b.ControlKey(int16(kmsg.Metadata), func(kmsg.Request) (kmsg.Response, error, bool) {
				b.KeepControl()
				asked.Add(1)
				return nil, nil, false
			})
			var starts []transport.TopicStart
			for n := range topics {
				name := fmt.Sprint("topic-", n)
				if err := b.CreateTopic(name, 1, nil); err != nil {
					t.Fatal(err)
				}
				starts = append(starts, transport.TopicStart{Topic: name})
			}
			r := startReader(b, newLedger(), func(cfg *transport.ConsumerConfig) { cfg.Topics = starts })
			r.awaitOwned(topics)
			if n := asked.Load(); n > topics/4 {
				t.Errorf("asked %d times until all were begun", n)
			}
			time.Sleep(10 * time.Second) // the clock is the bubble's
			asked.Store(0)
			for node, addr := range b.ListenAddrs() {
				if node == 0 {
					continue
				}
				b.Wires.SetDown(addr, true)
				for n := range topics {
					if name := fmt.Sprint("topic-", n); b.LeaderFor(name, 0) == int32(node) {
						if err := b.MoveTopicPartition(name, 0, 0); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			client := bedclient.Of(b)
			for n := range topics {
				for client.KnownTopic(fmt.Sprint("topic-", n)).Partitions[0].Leader != 0 {
					time.Sleep(10 * time.Millisecond)
				}
			}
			time.Sleep(3 * time.Second)
			if n := asked.Load(); n > topics/4 {
				t.Errorf("asked %d times when brokers were lost", n)
			}
			for _, addr := range b.ListenAddrs() {
				b.Wires.SetDown(addr, false)
			}
		}, bed.ThreeBrokers()...)
	}
}
