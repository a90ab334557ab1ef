package group

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/fetch"
	"github.com/eventbus-go/eventbus/transport"
)

// A coordinator refuses to delete a group that has members, or their offsets. It does
// neither for one whose members it has just expelled, and they come back at once. A
// group without commits then starts by its policy: Latest would pass over what they
// had not handled, Earliest repeat all that they had. So a member remembers what it
// committed last on the partitions that it lost, and stores that where the group has
// nothing any more. What an operator has set instead is there, and stands.

// keptCommits are a member's commits, by partition. They are guarded by membership.mu.
type keptCommits struct {
	// owned has those of the partitions that it owns, and lost those of partitions that it
	// lost and that the group has not begun again.
	owned, lost map[transport.Partition]keptCommit
	// restoring are the topics on which commits were found missing.
	restoring map[string]bool
}

type keptCommit struct {
	transport.Commit
	topic transport.TopicID
}

// keepLocked notes what is committed on a partition that is owned.
func (m *membership) keepLocked(c transport.Commit, topic transport.TopicID) {
	if m.kept.owned == nil {
		m.kept.owned = make(map[transport.Partition]keptCommit)
	}
	m.kept.owned[c.Partition] = keptCommit{c, topic}
}

// keepStored notes commits that were stored, which are all but those that failed.
func (m *membership) keepStored(commits []transport.Commit, failed map[transport.Partition]error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range commits {
		c := &commits[i]
		// Nothing is noted of a partition that was handed over or lost meanwhile.
		if k, owned := m.kept.owned[c.Partition]; owned && failed[c.Partition] == nil {
			m.keepLocked(*c, k.topic)
		}
	}
}

// loseLocked keeps the commits of all that is owned for the case that they vanish.
func (k *keptCommits) loseLocked() {
	if k.lost == nil {
		k.lost = make(map[transport.Partition]keptCommit)
	}
	maps.Copy(k.lost, k.owned)
	clear(k.owned)
}

// vanished returns the commits of this member that the group has no more on a topic,
// and reports whether some were found missing and the topic has not begun since.
func (m *membership) vanished(t *cluster.TopicMeta, committed map[transport.Partition]transport.Commit) (missing []transport.Commit, restoring bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p, c := range m.kept.lost {
		if _, there := committed[p]; !there && p.Topic == t.Name && !fetch.DifferentTopic(c.topic, t.ID) {
			missing = append(missing, c.Commit)
		}
	}
	return missing, len(missing) > 0 || m.kept.restoring[t.Name]
}

// restore stores what vanished found to be missing. Other members do the same with
// theirs.
func (m *membership) restore(ctx context.Context, topic string, missing []transport.Commit) error {
	m.mu.Lock()
	if m.kept.restoring == nil {
		m.kept.restoring = make(map[string]bool)
	}
	again := m.kept.restoring[topic]
	m.kept.restoring[topic] = true
	m.mu.Unlock()
	if !again {
		m.log.Error("commits of the group are gone: its members store again what they committed last", "group", m.cfg.Group, "topic", topic, "partitions", len(missing))
	}
	if failed := m.store(ctx, slices.Clone(missing), nil); len(failed) > 0 {
		return &transport.CommitError{Partitions: failed}
	}
	return nil
}

// startRest finds where partitions start that no member has restored. It waits for
// them first.
func (m *membership) startRest(ctx context.Context, t *cluster.TopicMeta, added []transport.Partition, committed map[transport.Partition]transport.Commit, impatient bool) (wait time.Duration, err error) {
	rest := slices.DeleteFunc(slices.Clone(added), func(p transport.Partition) bool {
		_, there := committed[p]
		return there
	})
	if len(rest) == 0 {
		return 0, nil
	}
	if !impatient {
		return 100 * time.Millisecond, nil
	}
	m.log.Error("commits of the group are gone and no member has them: partitions start by StartAt", "group", m.cfg.Group, "topic", t.Name, "partitions", names(rest))
	starts, err := m.storeStart(ctx, t.Name, rest)
	for _, c := range starts {
		committed[c.Partition] = c
	}
	return 0, err
}

// begunAgain forgets what vanished looks at: the group has begun the topic.
func (m *membership) begunAgain(topic string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.kept.restoring, topic)
	maps.DeleteFunc(m.kept.lost, func(p transport.Partition, _ keptCommit) bool { return p.Topic == topic })
}
