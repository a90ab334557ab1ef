package engine

import (
	"context"
	"errors"
	"maps"
	"sort"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// progressOf is what the partition's commit carries. The caller holds mu.
// It walks the heads of all lanes: what failed and was not finished is known nowhere else.
func (p *partition) progressOf() *progress {
	done := &progress{
		cluster: p.cluster, topic: p.topic, base: p.tracker.base, epoch: p.leaderEpoch, runs: p.runs(), unknown: p.unknown,
	}
	now := time.Now()
	// A record in hand says itself what it has used, which is newer than what came with the
	// assignment.
	carried := make(map[int64]bool, len(p.budgets))
	for l := range p.lanes.all() {
		// What failed stands at the front of its lane: of a batch that may be several.
		for it := l.head; it != nil && it.retry != nil; it = it.next {
			if b, ok := p.budgetOf(it, now); ok {
				done.spent = append(done.spent, b)
				carried[b.offset] = true
			}
		}
	}
	// What an earlier owner tried, and is further behind or not fetched yet.
	for offset, b := range p.budgets {
		switch {
		// Compaction or retention has removed it since, or it is skipped by now: nobody
		// finishes it, and no distance from the base is negative.
		case offset < done.base:
			delete(p.budgets, offset)
		case !carried[offset]:
			done.spent = append(done.spent, b)
		}
	}
	// Not slices.SortFunc: of that a program links 20 kB for each large type.
	sort.Slice(done.spent, func(i, k int) bool { return done.spent[i].offset < done.spent[k].offset })
	return done
}

// budgetOf returns what an item has used up of its policy, if that is anything. The
// caller holds mu.
// The times are what a next owner can go on with: first is moved up by what stood still,
// since the next owner knows nothing of this one's breaker.
func (p *partition) budgetOf(it *item, now time.Time) (b budget, ok bool) {
	f := it.retry
	switch {
	case f.spent != nil:
		return *f.spent, true // nothing was tried here
	// What only waited for a breaker has used up nothing.
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

// usedGrain returns the unit in which a commit says how much time a record has used
// of its policy. Each change of it makes a commit, so while the partition is owned
// it is a coarse one; a crash gives back less than that.
func (p *partition) usedGrain() time.Duration {
	// In a drain the exact time is worth having: it is the last commit.
	if p.state == partitionActive {
		return 10 * time.Second
	}
	return time.Second
}

// pending is a commit on its way.
// It keeps the partition, so that what was stored is noted there even if it has been
// replaced by another of the same id since.
type pending struct {
	partition *partition
	commit    transport.Commit
}

// pending is what the partition has to commit, if anything changed.
// A sealed partition still commits, for the last time; one that has gone does not.
func (p *partition) pending() (c pending, changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == partitionGone {
		return c, false
	}
	done := p.progressOf()
	// What does not fit is left out: its offsets may be handled twice, and none is lost.
	metadata, _ := done.encode(maxMetadata)
	p.crowding.head, p.uncarried = len(done.appendHead(nil)), done.uncarried()
	p.measure()
	return pending{p, transport.Commit{
		Partition: p.id, Epoch: p.epoch, Offset: p.tracker.base, LeaderEpoch: p.leaderEpoch, Metadata: metadata,
	}}, p.tracker.base != p.committed || metadata != p.committedMetadata
}

// commit stores the progress of partitions that made some. It returns the error
// of the ones that could not be stored.
// One at a time: of two at once the older could be stored last, and set the group back.
func (e *Engine) commit(ctx context.Context, partitions []*partition) error {
	select {
	case e.committing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-e.committing }()
	var commits []pending
	for _, p := range partitions {
		// Taken only now that no other commit is under way: it is the newest there is.
		if c, changed := p.pending(); changed {
			commits = append(commits, c)
		}
	}
	if len(commits) == 0 {
		return nil
	}
	failed := e.store(ctx, commits)
	// Metadata is a convenience, the offset is not: where the broker takes
	// less of it than usual, commit without.
	var again []pending
	for _, c := range commits {
		if errors.Is(failed[c.commit.Partition], transport.ErrMetadataTooLarge) {
			delete(failed, c.commit.Partition)
			c.commit.Metadata = ""
			again = append(again, c)
		}
	}
	if len(again) > 0 {
		// The offset alone is worth it: without it the partition would never move on.
		maps.Copy(failed, e.store(ctx, again))
	}
	if len(failed) == 0 {
		return nil
	}
	for p, err := range failed {
		e.observer.CommitFailed(p, err)
		// A fenced commit is of a partition that has moved, which is no fault.
		if !errors.Is(err, transport.ErrFenced) && ctx.Err() == nil {
			e.log.Warn("commit failed, the next one will carry it", "partition", p.String(), "error", err)
		}
	}
	return &transport.CommitError{Partitions: failed}
}

// store commits and notes what was stored. It returns what was not.
// An error that names no partitions is that of all of them.
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
		// Noted only when stored: pending compares with it, and a failed one comes again.
		c.partition.mu.Lock()
		c.partition.committed, c.partition.committedMetadata = c.commit.Offset, c.commit.Metadata
		c.partition.mu.Unlock()
		e.observer.Committed(c.commit.Partition, c.commit.Offset)
	}
	return failed
}

// lastCommit is the commit of partitions that go. What fails is tried again for
// as long as that makes sense: there is no next one.
// It returns the last error, also when the time is up while it waits.
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

// worthAgain reports whether a failed commit may yet succeed for some partition.
// A fenced member and a closed consumer get the same answer each time; an error that is
// no CommitError came from ctx.
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
