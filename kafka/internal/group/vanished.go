package group

import (
	"maps"
	"slices"
	"sync"

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

// keptCommits are a member's commits, by partition. It is safe for concurrent use.
type keptCommits struct {
	mu sync.Mutex
	// owned has those of the partitions that it owns, and lost those of partitions that it
	// lost and that the group has not begun again.
	owned, lost map[transport.Partition]keptCommit
	// restoring are the topics on which commits were found missing, and back those that were
	// not begun since the member was expelled.
	restoring, back map[string]bool
}

type keptCommit struct {
	transport.Commit
	topic transport.TopicID
	there bool // the group has it, and not only a new partition's beginning
}

// own notes what is committed on a partition that the member begins, or where that begins
// if nothing is there.
func (k *keptCommits) own(c transport.Commit, topic transport.TopicID, there bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.owned == nil {
		k.owned = make(map[transport.Partition]keptCommit)
	}
	k.owned[c.Partition] = keptCommit{c, topic, there}
}

// stored notes commits that were stored, which are all but those that failed.
func (k *keptCommits) stored(commits []transport.Commit, failed map[transport.Partition]error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range commits {
		// Nothing is noted of a partition that was handed over or lost meanwhile.
		if before, owned := k.owned[c.Partition]; owned && failed[c.Partition] == nil {
			k.owned[c.Partition] = keptCommit{c, before.topic, true}
		}
	}
}

// handOver forgets what is committed on partitions that other members get.
func (k *keptCommits) handOver(partitions []transport.Partition) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range partitions {
		delete(k.owned, p)
	}
}

// lose keeps the commits of all that is owned for the case that they vanish. The member
// comes back to topics.
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

// vanished returns the commits of this member that the group has no more on a topic,
// and reports whether some were found missing and the topic has not begun since. A new
// partition on which nobody has committed is no sign of it.
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

// isBack reports whether the member was expelled and has not begun the topic since: what
// it finds missing there, others may be about to store again.
func (k *keptCommits) isBack(topic string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.back[topic]
}

// others returns the topics of which commits are kept and none of the partitions is
// assigned.
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

// restore notes that commits on a topic were found missing, and reports whether that is
// news.
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

// begun forgets what vanished looks at: the group has begun the topic.
func (k *keptCommits) begun(topic string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.restoring, topic)
	delete(k.back, topic)
	maps.DeleteFunc(k.lost, func(p transport.Partition, _ keptCommit) bool { return p.Topic == topic })
}
