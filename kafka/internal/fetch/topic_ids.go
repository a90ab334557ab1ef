package fetch

import (
	"errors"
	"slices"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/transport"
)

// By its name alone a topic can't be distinguished from one that was deleted and created again,
// whose offsets mean other records (KIP-516).

// TopicID returns the ID that the topic of a partition had when it was assigned;
// zero if it is not.
func (f *Fetcher) TopicID(id transport.Partition) transport.TopicID {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.partitions[id]; p != nil {
		return p.topicID
	}
	return transport.TopicID{}
}

// DifferentTopic reports whether two IDs are of different topics. A zero ID, from brokers
// before 2.8, may be any.
func DifferentTopic(before, now transport.TopicID) bool {
	none := transport.TopicID{}
	return before != now && before != none && now != none
}

// Outdated returns the assigned partitions of an earlier topic than t, of the same
// name. Partitions that were stopped by mistake, and are of t, are fetched again.
func (f *Fetcher) Outdated(t *cluster.TopicMeta) (partitions []transport.Partition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.order {
		switch {
		case p.Topic != t.Name:
		case DifferentTopic(p.topicID, t.ID):
			partitions = append(partitions, p.Partition)
		// A broker that was late had named another ID, and now the cluster agrees on this one.
		case p.topicID == t.ID && errors.Is(p.stuck, ErrRecreated):
			p.stuck, p.err = nil, nil
			Signal(f.wake)
		}
	}
	return partitions
}

// TopicIDs returns the IDs that the topics of commits had when their partitions
// were assigned, and the names of the topics of which partitions are being revoked.
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
