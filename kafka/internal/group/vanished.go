package group

import (
	"maps"
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
	// restoring are the topics on which commits were found missing.
	restoring map[string]bool
}

type keptCommit struct {
	transport.Commit
	topic transport.TopicID
}

// own notes what is committed on a partition that the member begins.
func (k *keptCommits) own(c transport.Commit, topic transport.TopicID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.owned == nil {
		k.owned = make(map[transport.Partition]keptCommit)
	}
	k.owned[c.Partition] = keptCommit{c, topic}
}

// stored notes commits that were stored, which are all but those that failed.
func (k *keptCommits) stored(commits []transport.Commit, failed map[transport.Partition]error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range commits {
		// Nothing is noted of a partition that was handed over or lost meanwhile.
		if before, owned := k.owned[c.Partition]; owned && failed[c.Partition] == nil {
			k.owned[c.Partition] = keptCommit{c, before.topic}
		}
	}
}

// handOver forgets what is committed on a partition that another member gets.
func (k *keptCommits) handOver(p transport.Partition) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.owned, p)
}

// lose keeps the commits of all that is owned for the case that they vanish.
func (k *keptCommits) lose() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lost == nil {
		k.lost = make(map[transport.Partition]keptCommit)
	}
	maps.Copy(k.lost, k.owned)
	clear(k.owned)
}

// vanished returns the commits of this member that the group has no more on a topic,
// and reports whether some were found missing and the topic has not begun since.
func (k *keptCommits) vanished(t *cluster.TopicMeta, committed map[transport.Partition]transport.Commit) (missing []transport.Commit, restoring bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for p, c := range k.lost {
		if _, there := committed[p]; !there && p.Topic == t.Name && !fetch.DifferentTopic(c.topic, t.ID) {
			missing = append(missing, c.Commit)
		}
	}
	return missing, len(missing) > 0 || k.restoring[t.Name]
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
	maps.DeleteFunc(k.lost, func(p transport.Partition, _ keptCommit) bool { return p.Topic == topic })
}
