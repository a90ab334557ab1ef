package produce

import (
	"io"
	"testing"

	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// TestInfrastructure: a gate counts errors that show an unhealthy broker, not a
// partition that has moved or an invalid record.
func TestInfrastructure(t *testing.T) {
	for _, c := range []struct {
		err    error
		counts bool
	}{
		{nil, false},
		{io.EOF, true},
		{kerr.RequestTimedOut, true},
		{kerr.NotEnoughReplicas, true},
		{kerr.NotEnoughReplicasAppended, true},
		{kerr.KafkaStorageError, true},
		{kerr.NotLeaderOrFollower, false},
		{kerr.FencedLeaderEpoch, false},
		{kerr.UnknownLeaderEpoch, false},
		{kerr.UnknownTopicOrPartition, false},
		{kerr.CoordinatorLoadInProgress, false},
		{kerr.MessageTooLarge, false},
		{transport.ErrUnauthorized, false},
	} {
		if got := infrastructure(c.err); (got != nil) != c.counts {
			t.Errorf("infrastructure(%v) = %v, counts: want %t", c.err, got, c.counts)
		}
	}
}
