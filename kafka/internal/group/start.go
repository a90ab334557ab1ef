package group

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/transport"
)

// start is where partitions of one topic start.
type start struct {
	found []transport.Assignment
	// restarted has what was committed on partitions that start over.
	restarted map[transport.Partition]int64
	// waits means that another member must decide first.
	waits bool
	// restores means that other members have yet to store vanished commits again.
	restores bool
}

// startOn finds out, once, where partitions of a topic start. committed is what the group has
// committed on the topic, or nil to ask. An impatient member does what another one should do.
func (m *membership) startOn(ctx context.Context, topic string, added, assigned []transport.Partition, committed map[transport.Partition]transport.Commit, impatient bool) (s start, err error) {
	if committed == nil {
		// Look up the topic first, so that commits can be asked for by partition.
		if _, err = m.client.Topic(ctx, topic); err != nil {
			return s, err
		}
		if committed, err = m.committedOn(ctx, []string{topic}, added); err != nil {
			return s, err
		}
	}
	marks := UnmarkAll(committed)
	// Whatever the commits say, they count for the topic that has the name now.
	t, err := m.client.Topic(ctx, topic)
	if err != nil {
		return s, err
	}
	started, begun := startedOn(t, committed, marks)
	missing, restoring := m.kept.vanished(t, committed)
	switch {
	// Marked commits show every member that the topic was created again, even one that never
	// saw the previous topic.
	case begun || m.tookOver(t):
		if s.restarted, err = m.startOver(ctx, t, added, committed, marks); err != nil {
			return s, err
		}
		m.remember(t, true)
	case len(missing) > 0:
		return start{restores: true}, m.restore(ctx, topic, missing)
	case restoring:
		if s.restores, err = m.startRest(ctx, t, added, committed, impatient); s.restores || err != nil {
			return s, err
		}
		m.remember(t, false)
	case started && !impatient && m.kept.isBack(topic) && lacks(committed, added):
		return start{restores: true}, nil // they may be new, or another member has yet to restore them
	case started:
		m.remember(t, false)
	default:
		// All partitions start together, or members would take those without a commit for new
		// ones. So one member does it for all.
		if _, first := slices.BinarySearchFunc(assigned, transport.Partition{Topic: topic}, transport.Partition.Compare); (!first || m.kept.isBack(topic)) && !impatient {
			return start{waits: true}, nil
		}
		starts, err := m.resolveStart(ctx, t)
		if err != nil {
			return s, err
		}
		for _, c := range starts {
			committed[c.Partition] = c
		}
		m.remember(t, false)
	}
	m.kept.begun(topic)
	s.found = m.assignments(added, t, committed)
	return s, nil
}

// restoreWait is how long a member waits between checks whether others have restored vanished
// commits.
const restoreWait = 100 * time.Millisecond

// lacks reports whether any of the partitions has no commit.
func lacks(committed map[transport.Partition]transport.Commit, partitions []transport.Partition) bool {
	return slices.ContainsFunc(partitions, func(p transport.Partition) bool { _, there := committed[p]; return !there })
}

// restoreOthers stores vanished commits on topics of which the member is assigned nothing now,
// as startOn does for the others. After that it forgets them: later commits come from the
// members that have the partitions.
func (m *membership) restoreOthers(topics []string) {
	for _, topic := range topics {
		for failures := range 10 {
			committed, err := m.committedOn(m.ctx, []string{topic}, nil)
			var t *cluster.TopicMeta
			if err == nil {
				t, err = m.client.Topic(m.ctx, topic)
			}
			if err == nil {
				missing, _ := m.kept.vanished(t, committed)
				if len(missing) == 0 {
					break
				}
				err = m.restore(m.ctx, topic, missing)
			}
			if err != nil {
				m.logFailure(err)
			}
			cluster.Pause(m.ctx, cluster.Backoff(failures))
		}
		m.kept.begun(topic)
	}
}

// restore stores the commits that vanished has found missing. Other members do the same with
// theirs.
func (m *membership) restore(ctx context.Context, topic string, missing []transport.Commit) error {
	if m.kept.restore(topic) {
		m.log.Error("commits of the group are gone: its members store again what they committed last", "group", m.cfg.Group, "topic", topic, "partitions", len(missing))
	}
	if failed := m.store(ctx, slices.Clone(missing), nil); len(failed) > 0 {
		return &transport.CommitError{Partitions: failed}
	}
	return nil
}

// startRest finds where partitions start that no member has restored, and reports whether to
// wait for other members first.
func (m *membership) startRest(ctx context.Context, t *cluster.TopicMeta, added []transport.Partition, committed map[transport.Partition]transport.Commit, impatient bool) (waits bool, err error) {
	rest := slices.DeleteFunc(slices.Clone(added), func(p transport.Partition) bool {
		_, there := committed[p]
		return there
	})
	if len(rest) == 0 {
		return false, nil
	}
	if !impatient {
		return true, nil
	}
	m.log.Error("commits of the group are gone and no member has them: partitions start by StartAt", "group", m.cfg.Group, "topic", t.Name, "partitions", names(rest))
	starts, err := m.storeStart(ctx, t.Name, rest)
	for _, c := range starts {
		committed[c.Partition] = c
	}
	return false, err
}

// committedOn returns what the group has committed on topics, given the partitions that the
// member begins. It asks only for these topics if their numbers of partitions are known: in a
// large group most commits are on others.
func (m *membership) committedOn(ctx context.Context, topics []string, added []transport.Partition) (map[transport.Partition]transport.Commit, error) {
	partitions := slices.Clone(added)
	if len(m.unknownTopics(topics)) > 0 {
		return m.client.Committed(ctx, m.cfg.Group, topics)
	}
	for _, name := range topics {
		for i := range m.client.KnownTopic(name).Partitions {
			partitions = append(partitions, transport.Partition{Topic: name, Partition: int32(i)})
		}
	}
	// Added partitions may be newer than the known metadata.
	transport.SortPartitions(partitions)
	return m.client.CommittedOn(ctx, m.cfg.Group, slices.Compact(partitions))
}

// startedOn reports whether the group has commits on a topic, and whether it began it as one
// that was created again.
func startedOn(t *cluster.TopicMeta, committed map[transport.Partition]transport.Commit, marks map[transport.Partition]transport.TopicID) (started, begun bool) {
	// committed may have commits on other topics too.
	for p := range committed {
		if p.Topic == t.Name {
			id, marked := marks[p]
			started, begun = true, begun || marked && id == t.ID
		}
	}
	return started, begun
}

// resolveStart finds where the group starts on a topic, and commits that for all partitions at
// once.
func (m *membership) resolveStart(ctx context.Context, t *cluster.TopicMeta) ([]transport.Commit, error) {
	partitions := make([]transport.Partition, len(t.Partitions))
	for i := range partitions {
		partitions[i] = transport.Partition{Topic: t.Name, Partition: int32(i)}
	}
	// All or none: if only some are started, the rest look like new partitions.
	return m.storeStart(ctx, t.Name, partitions)
}

// storeStart finds where partitions of a topic start by its policy, and commits that.
func (m *membership) storeStart(ctx context.Context, topic string, partitions []transport.Partition) ([]transport.Commit, error) {
	offsets, failed := m.client.TryOffsets(ctx, m.fetch.Topics[topic].Start, partitions)
	for _, p := range partitions {
		if err := failed[p]; err != nil {
			return nil, err
		}
	}
	starts := make([]transport.Commit, len(partitions))
	for i, p := range partitions {
		// Without a leader epoch: records before the start were not read.
		starts[i] = transport.Commit{Partition: p, Offset: offsets[p], LeaderEpoch: -1}
	}
	if failed := m.store(ctx, slices.Clone(starts), nil); len(failed) > 0 {
		return nil, &transport.CommitError{Partitions: failed}
	}
	return starts, nil
}

// assignments returns the present assignments of partitions of a topic, each with its own
// epoch. Partitions without a commit were added after the group had started on the topic, and
// are read from their beginning.
//
// Epochs contain the generation, so that they grow from owner to owner within the group, and can
// fence stores outside of Kafka. A static member that comes back in the same generation begins
// with its former epochs.
func (m *membership) assignments(partitions []transport.Partition, t *cluster.TopicMeta, committed map[transport.Partition]transport.Commit) []transport.Assignment {
	m.mu.Lock()
	defer m.mu.Unlock()
	assignments := make([]transport.Assignment, 0, len(partitions))
	for _, p := range partitions {
		c, ok := committed[p]
		if !ok {
			c = transport.Commit{LeaderEpoch: -1}
		}
		// The generation is in the upper half, so that later owners have larger epochs.
		m.epoch = max(m.epoch+1, uint64(max(m.generation, 0))<<32)
		// The fetcher reads up to the highest possible offset. A position on it would read
		// nothing, and never learn that the log ends before it.
		c.Partition, c.Offset = p, min(c.Offset, math.MaxInt64-1)
		m.kept.own(c, t.ID, ok)
		assignments = append(assignments, transport.Assignment{
			Partition: p, Epoch: m.epoch, Offset: c.Offset, Metadata: c.Metadata, LeaderEpoch: c.LeaderEpoch,
			TopicID: t.ID, ClusterID: t.Cluster, Partitions: int32(len(t.Partitions)),
		})
	}
	return assignments
}
