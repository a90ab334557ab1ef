package engine

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/eventbus-go/eventbus/transport"
)

// crowdedAt is how full a commit's metadata may be before the partition stops
// fetching: past it, progress beyond the watermark could not be kept.
const crowdedAt = maxMetadata * 3 / 4

// progressOf is what the partition's commit carries. The caller holds mu.
func (p *partition) progressOf() *progress {
	done := &progress{cluster: p.cluster, topic: p.topic, base: p.tracker.base, epoch: p.leaderEpoch}
	for n := range p.tracker.runs {
		done.runs = append(done.runs, n)
	}
	if len(done.runs)%2 != 0 {
		done.runs = done.runs[:len(done.runs)-1]
	}
	// What the owner before finished and this one has not fetched yet.
	o := p.tracker.base
	for _, n := range done.runs {
		o += n
	}
	for _, s := range p.finished {
		if from := max(s.from, p.tracker.end); from < s.to {
			done.runs = append(done.runs, from-o, s.to-from)
			o = s.to
		}
	}
	for _, l := range p.lanes {
		if l.state == laneParked && l.head.fail != nil && l.head.fail.attempts > 0 {
			done.parked = append(done.parked, parkedHead{l.head.record.Offset, l.head.fail.attempts, l.head.fail.first})
		}
	}
	slices.SortFunc(done.parked, func(a, b parkedHead) int { return cmp.Compare(a.offset, b.offset) })
	return done
}

// needsCheck tells whether the window has grown so much since the last look that
// the metadata may be filling up.
func (p *partition) needsCheck() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tracker.window() < p.checkAt {
		return false
	}
	p.measure()
	return p.crowded
}

// measure encodes the progress and notes how full it is. The caller holds mu.
func (p *partition) measure() (metadata string) {
	metadata, complete := p.progressOf().encode(maxMetadata)
	p.crowded = !complete || len(metadata) > crowdedAt
	p.checkAt = p.tracker.window() + checkEvery
	return metadata
}

// checkEvery is how many offsets a window grows between two looks: as bits they
// are 512 bytes, well within the quarter that is kept free.
const checkEvery = 4096

// commit stores the progress of partitions that made some. It returns the error
// of the ones that could not be stored.
func (e *Engine) commit(ctx context.Context, partitions []*partition) error {
	e.commitMu.Lock()
	defer e.commitMu.Unlock()
	var commits []transport.Commit
	for _, p := range partitions {
		p.mu.Lock()
		metadata := p.measure()
		if p.state != partitionGone && (p.tracker.base != p.committed || metadata != p.committedMetadata) {
			commits = append(commits, transport.Commit{
				Partition: p.id, Epoch: p.epoch, Offset: p.tracker.base, LeaderEpoch: p.leaderEpoch, Metadata: metadata,
			})
		}
		p.mu.Unlock()
	}
	if len(commits) == 0 {
		return nil
	}
	failed := e.store(ctx, commits)
	// Metadata is a convenience, the offset is not: where the broker takes
	// less of it than usual, commit without.
	again := commits[:0:0]
	for _, c := range commits {
		if errors.Is(failed[c.Partition], transport.ErrMetadataTooLarge) {
			c.Metadata = ""
			again = append(again, c)
		}
	}
	if len(again) > 0 {
		for _, c := range again {
			delete(failed, c.Partition)
		}
		for p, err := range e.store(ctx, again) {
			failed[p] = err
		}
	}
	if len(failed) == 0 {
		return nil
	}
	for p, err := range failed {
		e.observer.CommitFailed(p, err)
		if !errors.Is(err, transport.ErrFenced) && ctx.Err() == nil {
			e.log.Warn("commit failed, the next one will carry it", "partition", p.String(), "error", err)
		}
	}
	return &transport.CommitError{Partitions: failed}
}

// store commits and notes what was stored. It returns what was not.
func (e *Engine) store(ctx context.Context, commits []transport.Commit) map[transport.Partition]error {
	failed := make(map[transport.Partition]error)
	if err := e.consumer.Commit(ctx, commits...); err != nil {
		var partial *transport.CommitError
		if errors.As(err, &partial) {
			failed = partial.Partitions
		} else {
			for _, c := range commits {
				failed[c.Partition] = err
			}
		}
	}
	for _, c := range commits {
		if failed[c.Partition] != nil {
			continue
		}
		if p := e.partition(c.Partition); p != nil && p.epoch == c.Epoch {
			p.mu.Lock()
			p.committed, p.committedMetadata = c.Offset, c.Metadata
			p.mu.Unlock()
		}
		e.observer.Committed(c.Partition, c.Offset)
	}
	return failed
}
