package fetch

import (
	"errors"
	"slices"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/transport"
)

// TopicID is the id that a partition's topic was assigned under.
func (f *Fetcher) TopicID(id transport.Partition) transport.TopicID {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	if p := f.Partitions[id]; p != nil {
		return p.topicID
	}
	return transport.TopicID{}
}

// Another tells whether a topic is another one than before, of the same name.
// Brokers before 2.8 know no ids.
func Another(before, now transport.TopicID) bool {
	none := transport.TopicID{}
	return before != now && before != none && now != none
}

// Outlived are the assigned partitions of a topic that was there before t under
// the same name. Those that were taken for such, and are of t, go on.
func (f *Fetcher) Outlived(t *cluster.TopicMeta) (partitions []transport.Partition) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	for _, p := range f.Order {
		switch {
		case p.Topic != t.Name:
		case Another(p.topicID, t.ID):
			partitions = append(partitions, p.Partition)
		case p.topicID == t.ID && errors.Is(p.stuck, ErrRecreated):
			p.stuck, p.err = nil, nil
			Signal(f.wake)
		}
	}
	return partitions
}

// TopicIDs are the ids of the topics that partitions were assigned of, and the
// names of those of which partitions are being revoked.
func (f *Fetcher) TopicIDs(commits []transport.Commit) (ids map[transport.Partition]transport.TopicID, revoked []string) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	ids = make(map[transport.Partition]transport.TopicID, len(commits))
	for i := range commits {
		p := f.Partitions[commits[i].Partition]
		if p == nil {
			continue
		}
		ids[p.Partition] = p.topicID
		if p.Revoked && !slices.Contains(revoked, p.Topic) {
			revoked = append(revoked, p.Topic)
		}
	}
	return ids, revoked
}
