package group

import (
	"maps"
	"slices"
	"sync"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/fetch"
	"github.com/eventbus-go/eventbus/transport"
)

// A coordinator refuses to delete a group that has members, or its offsets. But right after it
// has expelled the members it does either, and they come back at once. A group without commits
// would then start by its policy: Latest would skip what was not handled, Earliest would repeat
// everything. So a member remembers its last commits on the partitions that it lost, and stores
// them again if the group has none. If an operator has set others instead, those stay.

// keptCommits are a member's commits by partition. It is safe for concurrent use.
type keptCommits struct {
	mu sync.Mutex
	// owned has the commits on owned partitions, and lost those on lost partitions that the
	// group has not begun again.
	owned, lost map[transport.Partition]keptCommit
	// restoring has the topics with missing commits, and back those that were not begun since
	// the member was expelled.
	restoring, back map[string]bool
}

type keptCommit struct {
	transport.Commit
	topic transport.TopicID
	there bool // the group has stored it; otherwise it is only a new partition's beginning
}

// own records the commit on a partition that the member begins, or the partition's beginning if
// there is none.
func (k *keptCommits) own(c transport.Commit, topic transport.TopicID, there bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.owned == nil {
		k.owned = make(map[transport.Partition]keptCommit)
	}
	k.owned[c.Partition] = keptCommit{c, topic, there}
}

// stored records stored commits: all but those in failed.
func (k *keptCommits) stored(commits []transport.Commit, failed map[transport.Partition]error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range commits {
		// Nothing is recorded for a partition that was released or lost meanwhile.
		if before, owned := k.owned[c.Partition]; owned && failed[c.Partition] == nil {
			k.owned[c.Partition] = keptCommit{c, before.topic, true}
		}
	}
}

// handOver forgets the commits on partitions that other members get.
func (k *keptCommits) handOver(partitions []transport.Partition) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range partitions {
		delete(k.owned, p)
	}
}

// lose keeps the commits on all owned partitions in case they vanish. The member will come back
// to topics.
func (k *keptCommits) lose(topics []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.back = make(map[string]bool)
	for _, topic := range topics {
		k.back[topic] = true
	}
	if k.lost == nil {
		k.lost = make(map[transport.Partition]keptCommit)
	}
	maps.Copy(k.lost, k.owned)
	clear(k.owned)
}

// vanished returns this member's commits on a topic that the group no longer has, and reports
// whether some were found missing and the topic has not begun since. A new partition without a
// commit does not count as missing one.
func (k *keptCommits) vanished(t *cluster.TopicMeta, committed map[transport.Partition]transport.Commit) (missing []transport.Commit, restoring bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	gone := k.restoring[t.Name]
	for p, c := range k.lost {
		if _, there := committed[p]; !there && p.Topic == t.Name && int(p.Partition) < len(t.Partitions) && !fetch.DifferentTopic(c.topic, t.ID) {
			missing, gone = append(missing, c.Commit), gone || c.there
		}
	}
	if !gone {
		return nil, false
	}
	return missing, true
}

// isBack reports whether the member was expelled and has not begun the topic since: others may
// be about to store again what it finds missing there.
func (k *keptCommits) isBack(topic string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.back[topic]
}

// others returns the topics with kept commits and no assigned partition.
func (k *keptCommits) others(assigned []transport.Partition) (topics []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for p := range k.lost {
		if !slices.Contains(topics, p.Topic) && !slices.ContainsFunc(assigned, func(a transport.Partition) bool { return a.Topic == p.Topic }) {
			topics = append(topics, p.Topic)
		}
	}
	return topics
}

// restore records that commits on a topic were found missing, and reports whether that is news.
func (k *keptCommits) restore(topic string) (news bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.restoring == nil {
		k.restoring = make(map[string]bool)
	}
	news = !k.restoring[topic]
	k.restoring[topic] = true
	return news
}

// begun forgets the state used by vanished: the group has begun the topic.
func (k *keptCommits) begun(topic string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.restoring, topic)
	delete(k.back, topic)
	maps.DeleteFunc(k.lost, func(p transport.Partition, _ keptCommit) bool { return p.Topic == topic })
}
