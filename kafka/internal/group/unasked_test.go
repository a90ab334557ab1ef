package group

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/bed"
	"github.com/eventbus-go/eventbus/transport"
)

// TestAssignmentBesideUnasked: with KIP-848 a member follows the assignment of known topics even
// while other topics to which it subscribes can't be looked up.
func TestAssignmentBesideUnasked(t *testing.T) {
	bed.Bubble(t, 4, func(t *testing.T, b *bed.Bed) {
		membershipOf(b).ConsumerProtocol = true
		l := newLedger()
		first := startReader(b, l, func(cfg *transport.ConsumerConfig) {
			cfg.Topics = append(cfg.Topics, transport.TopicStart{Topic: "absent"}, transport.TopicStart{Topic: "missing"})
		})
		first.awaitOwned(4)
		b.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			if slices.ContainsFunc(req.(*kmsg.MetadataRequest).Topics, func(t kmsg.MetadataRequestTopic) bool { return *t.Topic != "events" }) {
				return nil, errors.New("lost"), true
			}
			return nil, nil, false
		})
		time.Sleep(10 * time.Second) // the clock is the bubble's
		second := startReader(b, l)
		second.awaitOwned(2)
		first.awaitOwned(2)
	})
}
