package fetch

import (
	"errors"
	"slices"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/transport"
)

// A name alone can't distinguish a topic from one that was deleted and created again, where the
// same offsets mean other records (KIP-516).

// TopicID returns the ID of a partition's topic when the partition was assigned. It returns the
// zero ID for a partition that is not assigned.
func (f *Fetcher) TopicID(id transport.Partition) transport.TopicID {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.partitions[id]; p != nil {
		return p.topicID
	}
	return transport.TopicID{}
}

// DifferentTopic reports whether two IDs belong to different topics. A zero ID, which brokers
// before 2.8 give, matches any topic.
func DifferentTopic(before, now transport.TopicID) bool {
	none := transport.TopicID{}
	return before != now && before != none && now != none
}

// Outdated returns the partitions that were assigned from an earlier topic with the name of t.
// Partitions of t that were stopped by mistake are fetched again.
func (f *Fetcher) Outdated(t *cluster.TopicMeta) (partitions []transport.Partition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.order {
		switch {
		case p.Topic != t.Name:
		case DifferentTopic(p.topicID, t.ID):
			partitions = append(partitions, p.Partition)
		// A broker with old metadata named another ID, but the cluster agrees on this one.
		case p.topicID == t.ID && errors.Is(p.stuck, ErrRecreated):
			p.stuck, p.err = nil, nil
			Signal(f.wake)
		}
	}
	return partitions
}

// TopicIDs returns the topic IDs with which the partitions of commits were assigned, and the
// names of the topics with partitions that are being revoked.
func (f *Fetcher) TopicIDs(commits []transport.Commit) (ids map[transport.Partition]transport.TopicID, revoked []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ids = make(map[transport.Partition]transport.TopicID, len(commits))
	for i := range commits {
		p := f.partitions[commits[i].Partition]
		if p == nil {
			continue
		}
		ids[p.Partition] = p.topicID
		if p.revoked && !slices.Contains(revoked, p.Topic) {
			revoked = append(revoked, p.Topic)
		}
	}
	return ids, revoked
}
