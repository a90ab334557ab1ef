package engine

import (
	"context"
	"errors"
	"maps"
	"math"
	"sort"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// progressOf returns the content of the partition's commit. It walks the heads of all lanes, since
// nothing else knows the failed, unfinished records. The caller holds mu.
func (p *partition) progressOf() *progress {
	done := &progress{
		cluster: p.cluster, topic: p.topic, base: p.tracker.base, epoch: p.commitEpoch(), runs: p.runs(), unknown: p.unknown,
	}
	now := time.Now()
	// A record that is here knows what it has used, and better than what came with the
	// assignment.
	carried := make(map[int64]bool, len(p.budgets))
	for l := range p.lanes.all() {
		// Failed records are at the front of their lane; from a batch there may be several.
		for it := l.head; it != nil && it.retry != nil; it = it.next {
			if b, ok := p.budgetOf(it, now); ok {
				done.spent = append(done.spent, b)
				carried[b.offset] = true
			}
		}
	}
	// Records that an earlier owner tried, and that are not at the front or not fetched yet.
	for offset, b := range p.budgets {
		switch {
		// Compaction or retention has removed the record, or it was skipped: nobody will finish
		// it, and its distance from the base would be negative.
		case offset < done.base:
			delete(p.budgets, offset)
		case !carried[offset]:
			done.spent = append(done.spent, b)
		}
	}
	// Not slices.SortFunc: a program links 20 kB of it for each large type.
	sort.Slice(done.spent, func(i, k int) bool { return done.spent[i].offset < done.spent[k].offset })
	return done
}

// commitEpoch returns the highest leader epoch of a record that the commit is about, −1 if it is
// unknown. The caller holds mu.
func (p *partition) commitEpoch() int32 {
	if p.ownerEpoch < math.MaxInt32 {
		return p.leaderEpoch
	}
	// What is not fetched yet may have a higher one.
	if len(p.finished) > 0 {
		return -1
	}
	for offset := range p.budgets {
		if offset >= p.tracker.end {
			return -1
		}
	}
	return p.leaderEpoch
}

// budgetOf returns what an item has used up of its policy; ok is false if that is nothing. The
// times are for the next owner, which knows nothing about this one's breaker, so first is moved
// forward by the time that the clocks stood still. The caller holds mu.
func (p *partition) budgetOf(it *item, now time.Time) (b budget, ok bool) {
	f := it.retry
	switch {
	case f.spent != nil:
		return *f.spent, true // nothing was tried here
	// An item that only waited for a breaker has used up nothing.
	case f.attempts == 0:
		return b, false
	}
	b = budget{offset: it.record.Offset, attempts: f.attempts, first: f.first.Add(f.stoodStill(it.breaker()))}
	b.used = f.elapsed(it.breaker(), now).Truncate(p.usedGrain())
	if f.end == DeadEnd {
		b.decided = f.reason
	}
	return b, true
}

// usedGrain returns the unit in which a commit states how much of its policy's time a record
// has used. Each change causes a commit, so while the partition is owned the unit is coarse; a
// crash gives back less than one.
func (p *partition) usedGrain() time.Duration {
	// A drain makes the last commit, where the exact time matters.
	if p.state == partitionActive {
		return 10 * time.Second
	}
	return time.Second
}

// pending is a commit in flight. It refers to the partition, so that what was stored is
// recorded there even if another partition has replaced it under the same id.
type pending struct {
	partition *partition
	commit    transport.Commit
}

// pending returns the partition's next commit, if anything has changed. A sealed partition
// still makes its last commit; one that is gone makes none.
func (p *partition) pending() (c pending, changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == partitionGone {
		return c, false
	}
	done := p.progressOf()
	// What doesn't fit is omitted: its offsets may be handled twice, and none is lost.
	metadata, _ := done.encode(maxMetadata)
	p.crowding.head, p.uncarried = len(done.appendHead(nil)), done.uncarried()
	p.measure()
	return pending{p, transport.Commit{
		Partition: p.id, Epoch: p.epoch, Offset: p.tracker.base, LeaderEpoch: done.epoch, Metadata: metadata,
	}}, p.tracker.base != p.committed || metadata != p.committedMetadata
}

// commit stores the progress of partitions that made some. It returns the error of those that
// could not be stored. Commits are made one at a time: otherwise the older of two could be
// stored last and move the group back.
func (e *Engine) commit(ctx context.Context, partitions []*partition) error {
	select {
	case e.committing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-e.committing }()
	var commits []pending
	for _, p := range partitions {
		// Read only now that no other commit is in flight, so it is the newest.
		if c, changed := p.pending(); changed {
			commits = append(commits, c)
		}
	}
	if len(commits) == 0 {
		return nil
	}
	failed := e.store(ctx, commits)
	// Metadata is optional, the offset is not: if the broker accepts less metadata than usual,
	// commit without it.
	var again []pending
	for _, c := range commits {
		if errors.Is(failed[c.commit.Partition], transport.ErrMetadataTooLarge) {
			delete(failed, c.commit.Partition)
			c.commit.Metadata = ""
			again = append(again, c)
		}
	}
	if len(again) > 0 {
		// Without its offset the partition would never move on.
		maps.Copy(failed, e.store(ctx, again))
	}
	if len(failed) == 0 {
		return nil
	}
	for p, err := range failed {
		e.observer.CommitFailed(p, err)
		// A fenced commit belongs to a partition that has moved; that is not a fault.
		if !errors.Is(err, transport.ErrFenced) && ctx.Err() == nil {
			e.log.Warn("commit failed, the next one will carry it", "partition", p.String(), "error", err)
		}
	}
	return &transport.CommitError{Partitions: failed}
}

// store commits, and records what was stored. It returns what was not. An error that names no
// partitions applies to all.
func (e *Engine) store(ctx context.Context, commits []pending) map[transport.Partition]error {
	batch := make([]transport.Commit, len(commits))
	for i, c := range commits {
		batch[i] = c.commit
	}
	failed := make(map[transport.Partition]error)
	if err := e.consumer.Commit(ctx, batch...); err != nil {
		if partial, ok := errors.AsType[*transport.CommitError](err); ok {
			failed = partial.Partitions
		} else {
			for _, c := range batch {
				failed[c.Partition] = err
			}
		}
	}
	for _, c := range commits {
		if failed[c.commit.Partition] != nil {
			continue
		}
		// Recorded only once stored: pending compares with it, so that a failed commit is repeated.
		c.partition.mu.Lock()
		c.partition.committed, c.partition.committedMetadata = c.commit.Offset, c.commit.Metadata
		c.partition.mu.Unlock()
		e.observer.Committed(c.commit.Partition, c.commit.Offset)
	}
	return failed
}

// lastCommit makes the last commit of partitions that go. It retries failures while that makes
// sense, since there is no next commit. It returns the last error, also if time runs out while
// it waits.
func (e *Engine) lastCommit(ctx context.Context, going []*partition) error {
	ctx, cancel := context.WithTimeout(ctx, commitPatience)
	defer cancel()
	for {
		err := e.commit(ctx, going)
		if !worthAgain(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(commitAgain):
		}
	}
}

// worthAgain reports whether a failed commit may still succeed for some partition. A fenced
// member and a closed consumer always get the same answer, and an error that is not a
// CommitError came from ctx.
func worthAgain(err error) bool {
	var partial *transport.CommitError
	if !errors.As(err, &partial) {
		return false
	}
	for _, err := range partial.Partitions {
		if !errors.Is(err, transport.ErrFenced) && !errors.Is(err, transport.ErrClosed) {
			return true
		}
	}
	return false
}

const (
	// commitPatience bounds one commit with all its retries.
	commitPatience = 10 * time.Second
	// commitAgain is the pause before a last commit is tried again.
	commitAgain = 100 * time.Millisecond
)
