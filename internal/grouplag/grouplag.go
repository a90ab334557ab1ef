// Package grouplag asks a cluster how far its consumer groups have come.
package grouplag

import (
	"context"
	"maps"
	"slices"

	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// Partition is how far a group has come in a partition.
type Partition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// Committed is the offset of the next event to handle, −1 without a
	// commit.
	Committed int64 `json:"committed"`
	End       int64 `json:"end"`
	Lag       int64 `json:"lag"`
	// Ahead counts events beyond Committed that are finished already, out of
	// order between keys. Lag does not include them.
	Ahead int64 `json:"ahead"`
	// Parked counts events that had failed and waited for their next attempt
	// when the commit was made.
	Parked int    `json:"parked"`
	Member string `json:"member,omitempty"`
	// Problem says why the progress in the commit's metadata can't be read.
	// Members then go on from Committed.
	Problem string `json:"problem,omitempty"`
}

// Owners returns the member that each partition is assigned to.
func Owners(g *kafka.Group) map[transport.Partition]string {
	all := make(map[transport.Partition]string)
	// A member without partitions, as during a rebalance, adds nothing.
	for _, m := range g.Members {
		for _, p := range m.Assigned {
			all[p] = m.ID
		}
	}
	return all
}

// Of returns the progress of a group in each partition that it
// has a commit for or that a member owns, in the order of topic and partition.
func Of(ctx context.Context, t *kafka.Transport, group string, owners map[transport.Partition]string) ([]Partition, error) {
	// Commits before ends: an end that is read later is never behind its commit, so that
	// no lag comes out below zero by that order.
	positions, err := Positions(ctx, t, group)
	if err != nil {
		return nil, err
	}
	for p := range owners {
		// A member that has not committed yet has a lag too.
		if positions[p] == nil {
			positions[p] = &transport.Assignment{Partition: p, Offset: -1}
		}
	}
	all := slices.SortedFunc(maps.Keys(positions), transport.Partition.Compare)
	if len(all) == 0 {
		// Not nil, which JSON would show as null.
		return []Partition{}, nil
	}
	first, end, err := Edges(ctx, t, all...)
	if err != nil {
		return nil, err
	}
	lines := make([]Partition, 0, len(all))
	for _, p := range all {
		at := positions[p]
		l := Partition{Topic: p.Topic, Partition: p.Partition, Committed: at.Offset, End: end[p], Member: owners[p]}
		report, err := engine.ReadCommit(at)
		if err != nil {
			// The line is shown all the same: Committed and Lag hold without the metadata.
			l.Problem = err.Error()
		}
		l.Ahead, l.Parked = report.Finished, report.Parked
		// Without a commit everything in the log is still to be handled. What
		// retention removed is not: no member will ever read it.
		l.Lag = max(end[p]-max(at.Offset, first[p])-l.Ahead, 0)
		lines = append(lines, l)
	}
	return lines, nil
}

// Positions returns a group's commits in the form in which a member gets them
// with its assignment. Commits for topics that no longer exist are left out.
func Positions(ctx context.Context, t *kafka.Transport, group string) (map[transport.Partition]*transport.Assignment, error) {
	cluster, err := t.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	commits, err := t.Admin().Committed(ctx, group)
	if err != nil {
		return nil, err
	}
	positions := make(map[transport.Partition]*transport.Assignment)
	if len(commits) == 0 {
		// Without names Topics would return all topics of the cluster.
		return positions, nil
	}
	topics := make(map[string]bool)
	for p := range commits {
		topics[p.Topic] = true
	}
	infos, err := t.Admin().Topics(ctx, slices.Collect(maps.Keys(topics))...)
	if err != nil {
		return nil, err
	}
	// Only topics that exist have an id here. A commit outlives the topic it was made for.
	ids := make(map[string]transport.TopicID, len(infos))
	for i := range infos {
		if infos[i].Err == nil {
			ids[infos[i].Name] = infos[i].ID
		}
	}
	for p, c := range commits {
		if id, there := ids[p.Topic]; there {
			// The ids let ReadCommit notice metadata that was written for another log.
			positions[p] = &transport.Assignment{
				Partition: p, Offset: c.Offset, Metadata: c.Metadata, LeaderEpoch: c.LeaderEpoch, TopicID: id, ClusterID: cluster.ID,
			}
		}
	}
	return positions, nil
}

// Partitions returns all partitions of a topic.
func Partitions(info *transport.TopicInfo) []transport.Partition {
	all := make([]transport.Partition, info.Partitions)
	for i := range all {
		all[i] = transport.Partition{Topic: info.Name, Partition: int32(i)}
	}
	return all
}

// Edges returns the first offset of each partition's log, and the offset after
// its last.
func Edges(ctx context.Context, t *kafka.Transport, partitions ...transport.Partition) (first, end map[transport.Partition]int64, err error) {
	if first, err = t.Admin().Offsets(ctx, transport.Earliest(), partitions...); err != nil {
		return nil, nil, err
	}
	end, err = t.Admin().Offsets(ctx, transport.Latest(), partitions...)
	return first, end, err
}
