package kafka

import (
	"io"
	"testing"

	"github.com/eventbus-go/eventbus/transport"
)

// TestInfrastructure: a gate counts what says that a broker is ill, not that a
// partition has moved or that a record is wrong.
func TestInfrastructure(t *testing.T) {
	for _, c := range []struct {
		err    error
		counts bool
	}{
		{nil, false},
		{io.EOF, true},
		{requestTimedOut, true},
		{notEnoughReplicas, true},
		{notEnoughReplicasAppended, true},
		{kafkaStorageError, true},
		{notLeaderOrFollower, false},
		{fencedLeaderEpoch, false},
		{unknownLeaderEpoch, false},
		{unknownTopicOrPartition, false},
		{coordinatorLoadInProgress, false},
		{messageTooLarge, false},
		{transport.ErrUnauthorized, false},
	} {
		if got := infrastructure(c.err); (got != nil) != c.counts {
			t.Errorf("infrastructure(%v) = %v, counts: want %t", c.err, got, c.counts)
		}
	}
}
