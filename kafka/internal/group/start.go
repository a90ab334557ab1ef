package group

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/transport"
)

// startPatience is how long a member waits for another, that has the topic's
// first partition, to settle where the group starts on a topic.
const startPatience = 5 * time.Second

// begin looks up where new partitions start and assigns them. It tries until it
// succeeds, the member has to join again, or the consumer is closed. assigned is
// all that the member has.
func (m *membership) begin(added, assigned []transport.Partition) {
	ctx, cancel := m.during()
	defer cancel()
	began := time.Now()
	restarted := make(map[transport.Partition]int64)
	for failures := 0; ; failures++ {
		found, wait, err := m.starts(ctx, added, assigned, time.Since(began) >= startPatience, restarted)
		if ctx.Err() != nil {
			return
		}
		if err == nil && wait == 0 {
			m.assign(found, restarted)
			return
		}
		if err != nil {
			m.trouble(fmt.Errorf("looking up where partitions start: %w", err))
			wait = cluster.Backoff(failures)
		}
		cluster.Pause(ctx, wait)
	}
}

// starts is where partitions start. If it is for another member to say, it
// returns how long to wait before asking again, unless impatient. It notes in
// restarted what was committed where a partition starts over.
func (m *membership) starts(ctx context.Context, added, assigned []transport.Partition, impatient bool, restarted map[transport.Partition]int64) (found []transport.Assignment, wait time.Duration, err error) {
	var names []string
	for _, p := range added {
		if n := len(names); n == 0 || names[n-1] != p.Topic {
			names = append(names, p.Topic)
		}
	}
	committed, err := m.client.Committed(ctx, m.cfg.Group, names)
	if err != nil {
		return nil, 0, err
	}
	marks := UnmarkAll(committed)
	topics := make(map[string]*cluster.TopicMeta, len(names))
	for _, name := range names {
		t, err := m.client.Topic(ctx, name)
		if err != nil {
			return nil, 0, err
		}
		topics[name] = t
		started, begun := startedOn(t, committed, marks)
		if begun || m.tookOver(t) {
			from, err := m.startOver(ctx, t, added, committed, marks)
			if err != nil {
				return nil, 0, err
			}
			maps.Copy(restarted, from)
			m.remember(t, true)
			continue
		}
		if started {
			m.remember(t, false)
			continue
		}
		// All partitions start together, or a member would take those that
		// nobody has committed yet for new ones. So one member does it for all.
		if _, first := slices.BinarySearchFunc(assigned, transport.Partition{Topic: name}, transport.Partition.Compare); !first && !impatient {
			return nil, 100 * time.Millisecond, nil
		}
		starts, err := m.resolveStart(ctx, t)
		if err != nil {
			return nil, 0, err
		}
		for _, c := range starts {
			committed[c.Partition] = c
		}
		m.remember(t, false)
	}
	for _, p := range added {
		c, ok := committed[p]
		if !ok { // it appeared after the group had started
			c = transport.Commit{LeaderEpoch: -1}
		}
		found = append(found, m.assignment(p, topics[p.Topic], c))
	}
	return found, 0, nil
}

// startedOn reports whether the group has commits on a topic, and whether it began
// it as one that was created again.
func startedOn(t *cluster.TopicMeta, committed map[transport.Partition]transport.Commit, marks map[transport.Partition]transport.TopicID) (started, begun bool) {
	for p := range committed {
		if p.Topic == t.Name {
			id, marked := marks[p]
			started, begun = true, begun || marked && id == t.ID
		}
	}
	return started, begun
}

// resolveStart finds where the group starts on a topic, and commits that for all
// partitions at once.
func (m *membership) resolveStart(ctx context.Context, t *cluster.TopicMeta) ([]transport.Commit, error) {
	partitions := make([]transport.Partition, len(t.Partitions))
	for i := range partitions {
		partitions[i] = transport.Partition{Topic: t.Name, Partition: int32(i)}
	}
	offsets, err := m.client.Offsets(ctx, m.fetch.Topics[t.Name].Start, partitions)
	if err != nil {
		return nil, err
	}
	starts := make([]transport.Commit, len(partitions))
	for i, p := range partitions {
		starts[i] = transport.Commit{Partition: p, Offset: offsets[p], LeaderEpoch: -1}
	}
	if failed := m.store(ctx, slices.Clone(starts), nil); len(failed) > 0 {
		return nil, &transport.CommitError{Partitions: failed}
	}
	return starts, nil
}

// assignment is a partition as it is assigned now, with an epoch of its own.
//
// Epochs contain the generation, so that they grow from owner to owner within
// the group, and can fence what lies outside of Kafka.
func (m *membership) assignment(p transport.Partition, t *cluster.TopicMeta, c transport.Commit) transport.Assignment {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch = max(m.epoch+1, uint64(max(m.generation, 0))<<32)
	return transport.Assignment{
		Partition: p, Epoch: m.epoch, Offset: c.Offset, Metadata: c.Metadata, LeaderEpoch: c.LeaderEpoch,
		TopicID: t.ID, ClusterID: t.Cluster, Partitions: int32(len(t.Partitions)),
	}
}
