package redrive

import (
	"context"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// SetLease shortens the silence after which a watching Client considers a process
// gone.
func (c *Client) SetLease(d time.Duration) { c.lease = d }

// SetEvents bounds the events that a Client puts into a transaction.
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

// Take makes a Client take a job in the state in which look found it.
func (c *Client) Take(ctx context.Context, j Job) {
	(&watch{client: c, busy: make(map[string]bool), later: make(map[string]time.Time)}).take(ctx, j)
}

// Claim claims a box, and returns a function that commits an empty transaction.
func (c *Client) Claim(ctx context.Context, topic string) (commit func() error, err error) {
	s, err := c.claim(ctx, topic)
	return func() error { return s.commit(ctx, nil) }, err
}

// ReadNow makes a Client treat what it has read of Topic as fresh.
func (c *Client) ReadNow() { c.book.read = time.Now() }

// ReadOn makes a Client treat the records of Topic before an offset as read.
func (c *Client) ReadOn(offset int64) { c.book.next = offset }

// Busy makes a Client appear to read Topic until done is called.
func (c *Client) Busy() (done func()) {
	c.books <- struct{}{}
	return c.books.give
}
