package redrive

import (
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// SetLease has a Client that watches take a process for gone sooner.
func (c *Client) SetLease(d time.Duration) { c.lease = d }

// SetEvents has a Client put fewer events into a transaction.
func (c *Client) SetEvents(n int) { c.events = n }

// OldCommit returns what earlier versions commit for a ledger that begins with
// letters in a state.
func OldCommit(p transport.Partition, id transport.TopicID, base int64, length uint64, s State) transport.Commit {
	c := oldCommit(base, id, 1, uint64(base), 0, run(length, s)) //nolint:gosec // of a test
	c.Partition, c.LeaderEpoch = p, -1
	return c
}

// Marker returns the marker of a partition.
func Marker(p transport.Partition, id transport.TopicID) transport.Commit { return marker(p, id) }
