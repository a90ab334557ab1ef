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
	// restarted has what was committed where a partition starts over.
	restarted map[transport.Partition]int64
	// waits says that another member has to say.
	waits bool
	// restores says that other members have yet to store again what vanished.
	restores bool
}

// startOn finds out where partitions of a topic start, once. committed is what the
// group has committed on the topic, or nil to ask. An impatient member does what is
// another's to do.
func (m *membership) startOn(ctx context.Context, topic string, added, assigned []transport.Partition, committed map[transport.Partition]transport.Commit, impatient bool) (s start, err error) {
	if committed == nil {
		// Known first, so that they are asked for by its partitions.
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
	// Marked commits show to every member that the topic was created again, also to one that
	// has never seen the one before.
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
		// All partitions start together, or a member would take those that
		// nobody has committed yet for new ones. So one member does it for all.
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

// restoreWait is how long a member waits between looks whether others have stored again
// what vanished.
const restoreWait = 100 * time.Millisecond

// lacks reports whether nothing is committed on one of the partitions.
func lacks(committed map[transport.Partition]transport.Commit, partitions []transport.Partition) bool {
	return slices.ContainsFunc(partitions, func(p transport.Partition) bool { _, there := committed[p]; return !there })
}

// restoreOthers stores what vanished on topics of which the member is assigned nothing
// now, as startOn does for the others. What it kept of them ends with it: later commits
// are those of the members that have the partitions.
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

// restore stores what vanished found to be missing. Other members do the same with
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

// startRest finds where partitions start that no member has restored, and reports whether
// it waits for them first.
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

// committedOn returns what the group has committed on topics, of which the member begins
// those partitions. It asks for these topics alone where it is known how many partitions
// they have: in a large group most commits are of others.
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
	// Those that are added may be newer than what is known.
	transport.SortPartitions(partitions)
	return m.client.CommittedOn(ctx, m.cfg.Group, slices.Compact(partitions))
}

// startedOn reports whether the group has commits on a topic, and whether it began
// it as one that was created again.
func startedOn(t *cluster.TopicMeta, committed map[transport.Partition]transport.Commit, marks map[transport.Partition]transport.TopicID) (started, begun bool) {
	// Of another topic than t.Name there may be commits too.
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
	// All or none: a topic of which a part is started looks as if the rest were new partitions.
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
		// Without a leader epoch: what lies before the start was not read.
		starts[i] = transport.Commit{Partition: p, Offset: offsets[p], LeaderEpoch: -1}
	}
	if failed := m.store(ctx, slices.Clone(starts), nil); len(failed) > 0 {
		return nil, &transport.CommitError{Partitions: failed}
	}
	return starts, nil
}

// assignments returns partitions of a topic as they are assigned now, each with an
// epoch of its own. Those without a commit appeared after the group had started on
// the topic, and are read from their beginning.
//
// Epochs contain the generation, so that they grow from owner to owner within
// the group, and can fence what lies outside of Kafka. A static member that comes back to
// the generation that it had begins with the epochs of its former self.
func (m *membership) assignments(partitions []transport.Partition, t *cluster.TopicMeta, committed map[transport.Partition]transport.Commit) []transport.Assignment {
	m.mu.Lock()
	defer m.mu.Unlock()
	assignments := make([]transport.Assignment, 0, len(partitions))
	for _, p := range partitions {
		c, ok := committed[p]
		if !ok {
			c = transport.Commit{LeaderEpoch: -1}
		}
		// The generation is in the upper half, so that the epochs of later owners are larger.
		m.epoch = max(m.epoch+1, uint64(max(m.generation, 0))<<32)
		// The fetcher reads up to the highest offset there is: who stands on it reads nothing,
		// and never hears that the log ends before.
		c.Partition, c.Offset = p, min(c.Offset, math.MaxInt64-1)
		m.kept.own(c, t.ID, ok)
		assignments = append(assignments, transport.Assignment{
			Partition: p, Epoch: m.epoch, Offset: c.Offset, Metadata: c.Metadata, LeaderEpoch: c.LeaderEpoch,
			TopicID: t.ID, ClusterID: t.Cluster, Partitions: int32(len(t.Partitions)),
		})
	}
	return assignments
}
