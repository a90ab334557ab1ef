package replay

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// errLogChanged is the reason why a replay's position was moved.
var errLogChanged = errors.New("retention removed the records from the log, or it was truncated")

// Progress receives the progress of a replay. It must be safe for concurrent use. The
// Consumer calls it without holding a lock.
type Progress interface {
	// Moved is called with the offsets below which nothing is left to do. It reports
	// whether that is all of the window.
	Moved(commits []transport.Commit) (over bool)
	// Removed is called with how many offsets the log lost before they were read.
	Removed(p transport.Partition, offsets int64)
}

// Consumer makes a window of the log look like a consumer group to an
// engine: one with a single member, whose partitions never move. Its commits are
// the replay's progress, and are stored nowhere else.
type Consumer struct {
	window   Window
	progress Progress
	reader   transport.Reader
	listener transport.Listener
	// begun is closed when the engine knows its partitions.
	begun chan struct{}
	// at is where the next batch of each partition begins. Only Poll uses it.
	at map[transport.Partition]int64
	// over is closed when nothing is left to wait for.
	over chan struct{}

	// mu guards done and err.
	mu sync.Mutex
	// done reports whether over is closed.
	done bool
	// err is why the replay ended before the window's end.
	err error
}

// NewConsumer returns the consumer of a window that a reader reads. The consumer closes
// the reader. It polls nothing before Begin.
func NewConsumer(w Window, p Progress, reader transport.Reader, l transport.Listener) *Consumer {
	c := &Consumer{
		window: w, progress: p, reader: reader, listener: l,
		begun: make(chan struct{}), over: make(chan struct{}), at: make(map[transport.Partition]int64),
	}
	for p, span := range w {
		c.at[p] = span.From
	}
	return c
}

// Begin assigns the window's partitions.
// It is called once, when the listener is ready. The epoch is 0 throughout: nobody else can
// own a partition of a replay.
func (c *Consumer) Begin() {
	var assigned []transport.Assignment
	for p, span := range c.window {
		assigned = append(assigned, transport.Assignment{Partition: p, Offset: span.From, LeaderEpoch: -1})
	}
	c.listener.Assigned(assigned)
	close(c.begun)
}

// end ends the wait for the replay, with the reason. The first reason counts: Close comes
// last, and is not the cause.
func (c *Consumer) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.done {
		c.done, c.err = true, err
		close(c.over)
	}
}

// Over returns a channel that is closed when the window's end is reached, or can't be.
func (c *Consumer) Over() <-chan struct{} { return c.over }

// Ended returns why the replay ended before the window's end, or nil.
func (c *Consumer) Ended() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Poll implements transport.Consumer. At the window's end, and when a partition
// can't be read, it waits for the drain.
func (c *Consumer) Poll(ctx context.Context) ([]transport.Batch, error) {
	select {
	case <-c.begun:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	batches, err := c.reader.Poll(ctx)
	if errors.Is(err, io.EOF) {
		// The next Poll finds nothing left, and then waits.
		if batches = c.rest(); len(batches) > 0 {
			err = nil
		}
	}
	if err != nil {
		if !errors.Is(err, io.EOF) && ctx.Err() == nil {
			c.end(err)
		}
		// The engine ends the context when it drains.
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for i := range batches {
		// A gap between batches means that the log has lost records.
		b := &batches[i]
		// Skipped comes before the batch: without it the engine reports the gap as a fault.
		if at := c.at[b.Partition]; b.From != at {
			c.listener.Skipped(b.Partition, at, b.From, errLogChanged)
			c.progress.Removed(b.Partition, b.From-at)
		}
		c.at[b.Partition] = b.Next
	}
	return batches, nil
}

// rest returns what the log lost at the window's end, as empty batches. They bring the
// engine to the window's end, which Moved then reports.
func (c *Consumer) rest() (batches []transport.Batch) {
	for p, span := range c.window {
		if at := c.at[p]; at < span.To {
			c.listener.Skipped(p, at, span.To, errLogChanged)
			c.progress.Removed(p, span.To-at)
			c.at[p] = span.To
			batches = append(batches, transport.Batch{Partition: p, From: span.To, Next: span.To})
		}
	}
	return batches
}

// Pause implements transport.Consumer.
func (c *Consumer) Pause(partitions ...transport.Partition) { c.reader.Pause(partitions...) }

// Resume implements transport.Consumer.
func (c *Consumer) Resume(partitions ...transport.Partition) { c.reader.Resume(partitions...) }

// Commit implements transport.Consumer. It stores commits only in the report.
func (c *Consumer) Commit(_ context.Context, commits ...transport.Commit) error {
	if c.progress.Moved(commits) {
		c.end(nil)
	}
	return nil
}

// Alive implements transport.Consumer. No other member could take over.
func (c *Consumer) Alive() bool { return true }

// TypeState implements transport.Consumer. A replay has no other members.
// So an event without a handler here is not held for anyone, and its policy applies.
func (c *Consumer) TypeState(string, string) transport.TypeState {
	return transport.TypeState{Known: true}
}

// Status implements transport.Consumer.
func (c *Consumer) Status() transport.ConsumerStatus {
	return transport.ConsumerStatus{Joined: true, State: "stable", LastHeartbeat: time.Now()}
}

// Close implements transport.Consumer. Like a group's consumer it revokes first, and the
// engine drains then.
func (c *Consumer) Close(ctx context.Context) error {
	var partitions []transport.Partition
	for p := range c.window {
		partitions = append(partitions, p)
	}
	c.listener.Revoked(ctx, partitions)
	c.end(transport.ErrClosed)
	return c.reader.Close(ctx)
}
