package engine

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/eventbus-go/eventbus/transport"
)

// CommitReport describes a partition's committed offset and metadata to a reader outside the group.
type CommitReport struct {
	// Finished is how many offsets beyond the committed one are finished.
	Finished int64
	// Beyond lists these as ranges [from, to), in order.
	Beyond [][2]int64
	// Parked is how many records had failed and were waiting to be tried again, up to a bound.
	Parked int
	// Foreign reports whether there is metadata that is not this package's.
	Foreign bool
}

// ReadCommit reads a commit, given as an assignment that starts there. If the metadata is
// damaged or of another log it returns an error; members drop such metadata.
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

// errPassed means that there is nothing left to finish.
var errPassed = errors.New("the group has passed that offset already")

// Finish returns the commit that counts one more offset as finished, which skips a record of a
// group without members.
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
	// Not slices.SortFunc: a program links several kB of it for each type.
	sort.Slice(spans, func(i, k int) bool { return spans[i].from < spans[k].from })
	// The watermark passes it, and what was finished right behind it.
	if spans[0].from == p.base {
		p.base = spans[0].to
		spans = spans[1:]
		for len(spans) > 0 && spans[0].from == p.base {
			p.base = spans[0].to
			spans = spans[1:]
		}
	}
	// Convert spans to runs; adjacent spans become one run.
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
	// The leader epoch of the record is not known. Without one in the commit, no member takes it
	// for another than the one that was finished.
	p.epoch = -1
	// Budgets below the offset would belong to records that no member fetches again.
	p.spent = slices.DeleteFunc(p.spent, func(b budget) bool { return b.offset == offset || b.offset < p.base })
	metadata, complete := p.encode(maxMetadata)
	// Refuse rather than omit: the offset to skip might be the one omitted.
	if !complete {
		return transport.Commit{}, fmt.Errorf("too much of partition %s is finished beyond its commit to note one more: start a member, and skip it there", a.Partition)
	}
	return transport.Commit{Partition: a.Partition, Offset: p.base, LeaderEpoch: p.epoch, Metadata: metadata}, nil
}
