package engine

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/eventbus-go/eventbus/transport"
)

// CommitReport describes a partition by a committed offset and its metadata,
// to a reader outside the group.
type CommitReport struct {
	// Finished is how many offsets beyond the committed one are done.
	Finished int64
	// Beyond are the stretches of them, [from, to), in order.
	Beyond [][2]int64
	// Parked is how many records had failed and were waiting to be tried
	// again, up to a bound.
	Parked int
	// Foreign says that there is metadata, and that it is not of this package.
	Foreign bool
}

// ReadCommit reads a commit, given as an assignment that starts there. Its error
// says that the metadata is damaged, or of another log: members drop it.
func ReadCommit(a *transport.Assignment) (CommitReport, error) {
	p, err := decodeProgress(a)
	if err != nil {
		return CommitReport{}, err
	}
	if p == nil {
		return CommitReport{Foreign: a.Metadata != ""}, nil
	}
	r := CommitReport{Parked: len(p.spent)}
	for _, s := range p.spans() {
		r.Finished += s.to - s.from
		r.Beyond = append(r.Beyond, [2]int64{s.from, s.to})
	}
	return r, nil
}

// errPassed says that there is nothing left to finish.
var errPassed = errors.New("the group has passed that offset already")

// Finish makes the commit that counts one more offset as done: what skips a
// record of a group that has no members.
func Finish(a *transport.Assignment, offset int64) (transport.Commit, error) {
	p, err := decodeProgress(a)
	if err != nil {
		return transport.Commit{}, err
	}
	if p == nil {
		p = &progress{cluster: a.ClusterID, topic: a.TopicID, base: a.Offset, epoch: a.LeaderEpoch}
	}
	spans := p.spans()
	done := func(s span) bool { return s.from <= offset && offset < s.to }
	if offset < p.base || slices.ContainsFunc(spans, done) {
		return transport.Commit{}, fmt.Errorf("%w: offset %d of partition %s, committed %d", errPassed, offset, a.Partition, p.base)
	}
	spans = append(spans, span{offset, offset + 1})
	// Not slices.SortFunc: of that a program links several kB for each type.
	sort.Slice(spans, func(i, k int) bool { return spans[i].from < spans[k].from })
	// The watermark passes it, and what was finished right behind.
	if spans[0].from == p.base {
		p.base = spans[0].to
		spans = spans[1:]
		for len(spans) > 0 && spans[0].from == p.base {
			p.base = spans[0].to
			spans = spans[1:]
		}
	}
	// From spans back to runs: stretches that touch become one.
	p.runs = p.runs[:0]
	at := p.base
	for _, s := range spans {
		if s.from == at && len(p.runs) > 0 {
			p.runs[len(p.runs)-1] += s.to - s.from
		} else {
			p.runs = append(p.runs, s.from-at, s.to-s.from)
		}
		at = s.to
	}
	// Budgets below the offset would be of records that no member fetches again.
	p.spent = slices.DeleteFunc(p.spent, func(b budget) bool { return b.offset == offset || b.offset < p.base })
	metadata, complete := p.encode(maxMetadata)
	// Refused, and not cut: the offset that was to be skipped may be what is left out.
	if !complete {
		return transport.Commit{}, fmt.Errorf("too much of partition %s is finished beyond its commit to note one more: start a member, and skip it there", a.Partition)
	}
	return transport.Commit{Partition: a.Partition, Offset: p.base, LeaderEpoch: a.LeaderEpoch, Metadata: metadata}, nil
}
