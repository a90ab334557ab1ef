package redrive

import (
	"context"
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

// Take has a Client take up a job as a look found it.
func (c *Client) Take(ctx context.Context, j Job) {
	(&watch{client: c, busy: make(map[string]bool), later: make(map[string]time.Time)}).take(ctx, j)
}

// Claim claims a box, and returns what commits nothing.
func (c *Client) Claim(ctx context.Context, topic string) (commit func() error, err error) {
	s, err := c.claim(ctx, topic)
	return func() error { return s.commit(ctx, nil) }, err
}

// ReadNow has a Client take what it has read of Topic for new.
func (c *Client) ReadNow() { c.book.read = time.Now() }

// ReadOn has a Client take the records of Topic before an offset for read.
func (c *Client) ReadOn(offset int64) { c.book.next = offset }

// Busy has a Client read Topic until done is called.
func (c *Client) Busy() (done func()) {
	c.books <- struct{}{}
	return c.books.give
}
