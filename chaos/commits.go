package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// recorder is a transport whose consumers record in the ledger which commits
// the group acknowledged: what they cover must never be handled again.
type recorder struct {
	*kafka.Transport
	// topic is the one whose commits are recorded.
	topic  string
	ledger *ledger
	log    *slog.Logger
}

// NewConsumer implements transport.Transport.
func (r *recorder) NewConsumer(cfg transport.ConsumerConfig) (transport.Consumer, error) {
	c := &recorded{Listener: cfg.Listener, recorder: r, assigned: make(map[transport.Partition]transport.Assignment)}
	// It is between the two, and sees assignments before the bus does.
	cfg.Listener = c
	inner, err := r.Transport.NewConsumer(cfg)
	if err != nil {
		return nil, err
	}
	// The listener may be called before this, but nobody uses c as a consumer before it is
	// returned.
	c.Consumer = inner
	return c, nil
}

// recorded is a consumer of recorder, and wraps its listener.
type recorded struct {
	transport.Consumer
	transport.Listener
	recorder *recorder

	// mu guards assigned.
	mu sync.Mutex
	// assigned has the partitions' assignments, whose epoch goes into the
	// ledger.
	assigned map[transport.Partition]transport.Assignment
}

// Assigned implements transport.Listener.
func (c *recorded) Assigned(assigned []transport.Assignment) {
	c.mu.Lock()
	for i := range assigned {
		// Keep it after the partition is revoked: a commit in flight is recorded
		// afterwards.
		c.assigned[assigned[i].Partition] = assigned[i]
	}
	c.mu.Unlock()
	c.Listener.Assigned(assigned)
}

// slowCommit is how long a commit takes that is worth a line in the log.
const slowCommit = time.Second

// Commit implements transport.Consumer.
func (c *recorded) Commit(ctx context.Context, commits ...transport.Commit) error {
	began := time.Now()
	err := c.Consumer.Commit(ctx, commits...)
	if took := time.Since(began); took > slowCommit {
		c.recorder.log.Warn("a commit took long", "took", took, "partitions", len(commits), "error", err)
	}
	partial, some := errors.AsType[*transport.CommitError](err)
	// Each commit may or may not be stored: the ledger then understates what is covered.
	if err != nil && !some {
		return err
	}
	// Partitions that failed are left out: only what was acknowledged counts.
	for i := range commits {
		if partial == nil || partial.Partitions[commits[i].Partition] == nil {
			c.enter(&commits[i])
		}
	}
	return err
}

// enter records an acknowledged commit: the watermark, and each run of finished
// offsets beyond it.
func (c *recorded) enter(commit *transport.Commit) {
	if commit.Topic != c.recorder.topic {
		return
	}
	c.mu.Lock()
	// Use a copy, changed to look like the assignment of the next owner.
	at := c.assigned[commit.Partition]
	c.mu.Unlock()
	at.Offset, at.Metadata, at.LeaderEpoch = commit.Offset, commit.Metadata, commit.LeaderEpoch
	line := entry{deed: committed, partition: commit.Partition.Partition, offset: commit.Offset, epoch: commit.Epoch}
	// The watermark is recorded first, so that a kill in between understates the
	// commit.
	c.recorder.ledger.add(line)
	report, err := engine.ReadCommit(&at)
	if err != nil {
		c.recorder.log.Error("a commit that can't be read", "partition", commit.Partition.String(), "error", err)
		return
	}
	line.deed = beyond
	for _, s := range report.Beyond {
		line.offset, line.key = s[0], uint32(s[1]-s[0]) //nolint:gosec // bounded by what is in flight
		c.recorder.ledger.add(line)
	}
}

// coverage is what the acknowledged commits of a partition cover.
// The zero value covers nothing.
type coverage struct {
	// watermark is the highest committed; offsets below it are covered.
	watermark int64
	// beyond has single offsets above the watermark.
	beyond map[int64]bool
}

// take adds a commit's entry.
func (c *coverage) take(line *entry) {
	if line.deed == committed {
		c.watermark = max(c.watermark, line.offset)
		maps.DeleteFunc(c.beyond, func(o int64, _ bool) bool { return o < c.watermark })
		return
	}
	if c.beyond == nil {
		c.beyond = make(map[int64]bool)
	}
	// A stretch is as long as the entry's key says.
	for o := range int64(line.key) {
		c.beyond[line.offset+o] = true
	}
}

// covers reports whether an offset is finished according to the commits.
func (c *coverage) covers(offset int64) bool { return offset < c.watermark || c.beyond[offset] }
