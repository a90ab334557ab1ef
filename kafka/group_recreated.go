package kafka

import (
	"context"
	"slices"

	"github.com/eventbus-go/eventbus/transport"
)

// remembered is what a member remembers of a topic: which one it was when it was
// seen first, or begun last. So another one of its name is told from it, also if
// the group took the partitions of the old one away before the new one was there.
type remembered struct {
	id   transport.TopicID
	anew bool            // the group has read another of the name before
	next map[int32]int64 // where partitions were that the member gave up
}

// another tells whether a topic is another one than before, of the same name.
// Brokers before 2.8 know no ids.
func another(before, now transport.TopicID) bool {
	none := transport.TopicID{}
	return before != now && before != none && now != none
}

// see remembers a topic that the member has not seen yet. anew says that it took
// the place of another: somebody else has noticed that.
func (m *membership) see(t *topicMeta, anew bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.seen[t.name]
	if r == nil {
		r = &remembered{id: t.id, next: make(map[int32]int64)}
		m.seen[t.name] = r
	}
	r.anew = r.anew || anew && r.id == t.id
}

// tookOver tells whether a topic took the place of the one that the member
// remembers. If it did so earlier, and nothing is committed, it is as if it did
// now: the coordinator drops what is committed on a deleted topic by its name,
// and may have heard of the deletion after the new topic was begun.
func (m *membership) tookOver(t *topicMeta, started bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.seen[t.name]
	return r != nil && (another(r.id, t.id) || r.anew && !started)
}

// began remembers the topics of new assignments. Of those that took the place of
// the remembered ones, it returns where the partitions were that start over.
func (m *membership) began(found []transport.Assignment) (restarted map[transport.Partition]int64) {
	restarted = make(map[transport.Partition]int64)
	for topic, assigned := range byTopic(found, topicOfAssignment) {
		if m.replaced(topic, assigned, restarted) {
			m.log.Error("a topic was created anew: it is read from its first record", "group", m.cfg.Group, "topic", topic)
		}
	}
	return restarted
}

// replaced is began for one topic, and tells whether it took the place of another.
func (m *membership) replaced(topic string, assigned []transport.Assignment, restarted map[transport.Partition]int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	id, before := assigned[0].TopicID, m.seen[topic]
	if before == nil {
		before = &remembered{next: make(map[int32]int64)}
		m.seen[topic] = before
	}
	if !another(before.id, id) {
		before.id = id
		return false
	}
	m.seen[topic] = &remembered{id: id, anew: true, next: make(map[int32]int64)}
	for i := range assigned {
		if p := assigned[i].Partition; assigned[i].Offset == 0 { // else another member began it, and got further
			restarted[p] = before.next[p.Partition]
		}
	}
	return true
}

// giveUp ends the fetching of partitions, and remembers where they were.
func (m *membership) giveUp(partitions []transport.Partition) {
	status := m.fetch.status()
	m.fetch.remove(partitions)
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range status {
		s := &status[i]
		if r := m.seen[s.Topic]; r != nil && slices.Contains(partitions, s.Partition) {
			r.next[s.Partition.Partition] = s.Next
		}
	}
}

// outlived are the assigned partitions of a topic that was there before t under
// the same name, and its id.
func (f *fetcher) outlived(t *topicMeta) (partitions []transport.Partition, id transport.TopicID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.order {
		if p.Topic == t.name && another(p.topicID, t.id) {
			partitions, id = append(partitions, p.Partition), p.topicID
		}
	}
	return partitions, id
}

// recreated notes that a topic was created anew.
func (m *membership) recreated(topic string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.anew == nil {
		m.anew = make(map[string]bool)
	}
	m.anew[topic] = true
	signal(m.news)
}

// restart gives up the partitions of a topic that was created anew, of which
// nothing may be committed any more, and begins with those of the new one.
func (m *membership) restart(topic string) {
	t, err := m.client.freshTopic(m.ctx, topic)
	if err != nil {
		return // still being created; watchTopics comes back to it
	}
	lost, id := m.fetch.outlived(t)
	if len(lost) == 0 {
		return
	}
	m.drop(lost)
	m.mu.Lock()
	m.seen[topic].id = id // others of its partitions may have been begun as the new topic's
	m.mu.Unlock()
	again := slices.DeleteFunc(lost, func(p transport.Partition) bool { return int(p.Partition) >= len(t.partitions) })
	if len(again) > 0 {
		m.begin(again, again)
	}
}

// startOver is where the group starts on a topic that was created anew: at its
// first record, whatever the start policy, since the group has begun on the topic
// of that name, and whatever is committed under the name, which an owner of the
// old one may have done after the new one was there.
//
// What is marked as the new topic's stays: another member began it. The first
// one does so for all partitions, so that one that has never seen the old topic
// finds a commit instead of a group that has yet to start.
func (m *membership) startOver(ctx context.Context, t *topicMeta, committed map[transport.Partition]transport.Commit, marks map[transport.Partition]transport.TopicID) error {
	var starts []transport.Commit
	for i := range t.partitions {
		p := transport.Partition{Topic: t.name, Partition: int32(i)}
		if marks[p] != t.id {
			committed[p] = transport.Commit{Partition: p, LeaderEpoch: -1}
			starts = append(starts, transport.Commit{Partition: p, LeaderEpoch: -1, Metadata: mark(t.id)})
		}
	}
	if failed := m.store(ctx, starts, nil); len(failed) > 0 {
		return &transport.CommitError{Partitions: failed}
	}
	return nil
}
