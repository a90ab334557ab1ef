package eventbus

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

// replayConsumer makes a window of the log look like a consumer group to an
// engine: one with a single member, whose partitions never move. Its commits are
// the replay's progress, and are stored nowhere else.
type replayConsumer struct {
	replay   *replay
	reader   transport.Reader
	listener transport.Listener
	begun    chan struct{}                 // closed when the engine knows its partitions
	at       map[transport.Partition]int64 // where the next batch begins; Poll's alone
	over     chan struct{}                 // closed when nothing is left to wait for

	mu   sync.Mutex
	done bool  // over is closed
	err  error // why, before the window's end
}

func newReplayConsumer(r *replay, reader transport.Reader, l transport.Listener) *replayConsumer {
	c := &replayConsumer{
		replay: r, reader: reader, listener: l,
		begun: make(chan struct{}), over: make(chan struct{}), at: make(map[transport.Partition]int64),
	}
	for p, count := range r.window {
		c.at[p] = count.From
	}
	return c
}

// begin assigns the window's partitions.
func (c *replayConsumer) begin() {
	var assigned []transport.Assignment
	for p, count := range c.replay.window {
		assigned = append(assigned, transport.Assignment{Partition: p, Offset: count.From, LeaderEpoch: -1})
	}
	c.listener.Assigned(assigned)
	close(c.begun)
}

// end ends the wait for the replay, with the reason.
func (c *replayConsumer) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.done {
		c.done, c.err = true, err
		close(c.over)
	}
}

// ended returns why the replay was over before the window's end.
func (c *replayConsumer) ended() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Poll implements transport.Consumer. At the window's end, and when a partition
// can't be read, it waits for the drain.
func (c *replayConsumer) Poll(ctx context.Context) ([]transport.Batch, error) {
	select {
	case <-c.begun:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	batches, err := c.reader.Poll(ctx)
	if errors.Is(err, io.EOF) {
		if batches = c.rest(); len(batches) > 0 {
			err = nil
		}
	}
	if err != nil {
		if !errors.Is(err, io.EOF) && ctx.Err() == nil {
			c.end(err)
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for i := range batches {
		b := &batches[i]
		if at := c.at[b.Partition]; b.From != at {
			c.listener.Skipped(b.Partition, at, b.From, errLogChanged)
			c.replay.removed(b.Partition, b.From-at)
		}
		c.at[b.Partition] = b.Next
	}
	return batches, nil
}

// rest returns what the log lost at the window's end, as empty batches.
func (c *replayConsumer) rest() (batches []transport.Batch) {
	for p, count := range c.replay.window {
		if at := c.at[p]; at < count.To {
			c.listener.Skipped(p, at, count.To, errLogChanged)
			c.replay.removed(p, count.To-at)
			c.at[p] = count.To
			batches = append(batches, transport.Batch{Partition: p, From: count.To, Next: count.To})
		}
	}
	return batches
}

// Pause implements transport.Consumer.
func (c *replayConsumer) Pause(partitions ...transport.Partition) { c.reader.Pause(partitions...) }

// Resume implements transport.Consumer.
func (c *replayConsumer) Resume(partitions ...transport.Partition) { c.reader.Resume(partitions...) }

// Commit implements transport.Consumer: nothing is stored but in the report.
func (c *replayConsumer) Commit(_ context.Context, commits ...transport.Commit) error {
	if c.replay.moved(commits) {
		c.end(nil)
	}
	return nil
}

// Alive implements transport.Consumer. No other member could take over.
func (c *replayConsumer) Alive() bool { return true }

// TypeState implements transport.Consumer. A replay has no other members.
func (c *replayConsumer) TypeState(string, string) transport.TypeState {
	return transport.TypeState{Known: true}
}

// Status implements transport.Consumer.
func (c *replayConsumer) Status() transport.ConsumerStatus {
	return transport.ConsumerStatus{Joined: true, State: "stable", LastHeartbeat: time.Now()}
}

// Close implements transport.Consumer.
func (c *replayConsumer) Close(ctx context.Context) error {
	var partitions []transport.Partition
	for p := range c.replay.window {
		partitions = append(partitions, p)
	}
	c.listener.Revoked(ctx, partitions)
	c.end(ErrClosed)
	return c.reader.Close(ctx)
}
