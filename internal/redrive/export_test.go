package redrive

import (
	"context"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// SetLease shortens the time after which a watching Client considers a process gone.
func (c *Client) SetLease(d time.Duration) { c.lease = d }

// SetEvents sets how many events a Client puts into a transaction.
func (c *Client) SetEvents(n int) { c.events = n }

// OldCommit returns a commit of earlier versions whose ledger begins with length letters in a
// state.
func OldCommit(p transport.Partition, id transport.TopicID, base int64, length uint64, s State) transport.Commit {
	c := oldCommit(base, id, 1, uint64(base), 0, run(length, s)) //nolint:gosec // of a test
	c.Partition, c.LeaderEpoch = p, -1
	return c
}

// Marker returns the marker of a partition.
func Marker(p transport.Partition, id transport.TopicID) transport.Commit { return marker(p, id) }

// Take takes up a job, as Watch does with one that it found.
func (c *Client) Take(ctx context.Context, j Job) {
	(&watch{client: c, busy: make(map[string]bool), later: make(map[string]time.Time)}).take(ctx, j)
}

// Claim claims a box, and returns a function that commits an empty transaction.
func (c *Client) Claim(ctx context.Context, topic string) (commit func() error, err error) {
	s, err := c.claim(ctx, topic)
	return func() error { return s.commit(ctx, nil) }, err
}

// ReadNow makes a Client believe that it has just read Topic.
func (c *Client) ReadNow() { c.book.read = time.Now() }

// ReadOn makes a Client believe that it has read Topic up to an offset.
func (c *Client) ReadOn(offset int64) { c.book.next = offset }

// Busy keeps a Client's book locked until done is called.
func (c *Client) Busy() (done func()) {
	c.books <- struct{}{}
	return c.books.give
}

// Persist runs a job on in a session that another one has fenced, or until it is interrupted at
// once.
func (c *Client) Persist(ctx context.Context, j *Job, interrupted bool) error {
	s, err := c.claim(ctx, j.Topic)
	if err == nil {
		_, err = c.claim(ctx, j.Topic)
	}
	if err != nil {
		return err
	}
	ctx, interrupt := context.WithCancel(ctx)
	defer interrupt()
	if interrupted {
		interrupt()
	}
	return c.persist(ctx, s, j, Run{})
}

// Quit stores that a job is not run any more.
func (c *Client) Quit(ctx context.Context, j *Job) error { return c.quit(ctx, j, Stopped, nil) }
