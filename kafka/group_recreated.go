package kafka

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// remembered is what a member remembers of a topic: which one it was when it was
// seen first, or begun last. So another one of its name is told from it, also if
// the group took the partitions of the old one away before the new one was there.
type remembered struct {
	id      transport.TopicID
	cluster string    // the id of the topic's cluster: another has its own commits
	anew    bool      // it took the place of another: what is committed on it is marked
	other   time.Time // since when another of the name is seen, of which the member has nothing
}

// remembersFor is how long a member that has nothing of a topic remembers the one
// before. By then all who had that have heard so, or are out of the group, and
// somebody has begun the new one: what is committed without a mark is of a member
// that never saw the old one.
const remembersFor = time.Hour

// another tells whether a topic is another one than before, of the same name.
// Brokers before 2.8 know no ids.
func another(before, now transport.TopicID) bool {
	none := transport.TopicID{}
	return before != now && before != none && now != none
}

// notice hears what the cluster says of a topic that the group reads.
func (m *membership) notice(t *topicMeta) {
	if len(m.fetch.outlived(t)) > 0 {
		m.recreated(t.name)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.seen[t.name]
	switch {
	case r.id == transport.TopicID{} || r.cluster != t.cluster:
		r = remembered{id: t.id, cluster: t.cluster}
	case !another(r.id, t.id):
		r.other = time.Time{}
	case r.other.IsZero():
		r.other = time.Now()
	case time.Since(r.other) >= remembersFor:
		r = remembered{id: t.id, cluster: t.cluster}
	}
	m.seen[t.name] = r
}

// remember notes which topic a member begins. anew says that it took the place of
// another.
func (m *membership) remember(t *topicMeta, anew bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[t.name] = remembered{id: t.id, cluster: t.cluster, anew: anew}
}

// tookOver tells whether a topic took the place of another that the member
// remembers, now or before it began it.
func (m *membership) tookOver(t *topicMeta) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.seen[t.name]
	return r.cluster == t.cluster && (another(r.id, t.id) || r.anew && r.id == t.id)
}

// outlived are the assigned partitions of a topic that was there before t under
// the same name. Those that were taken for such, and are of t, go on.
func (f *fetcher) outlived(t *topicMeta) (partitions []transport.Partition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.order {
		switch {
		case p.Topic != t.name:
		case another(p.topicID, t.id):
			partitions = append(partitions, p.Partition)
		case p.topicID == t.id && errors.Is(p.stuck, errRecreated):
			p.stuck, p.err = nil, nil
			signal(f.wake)
		}
	}
	return partitions
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
	lost := m.fetch.outlived(t)
	m.drop(lost)
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
// finds a commit instead of a group that has yet to start. Once it is begun, what
// has no mark was committed by an owner of the old one: one that had not heard of
// the new one, and did so after it was begun. Each is put back by who gets it.
//
// It returns what was committed on partitions that are put back.
func (m *membership) startOver(ctx context.Context, t *topicMeta, added []transport.Partition, committed map[transport.Partition]transport.Commit, marks map[transport.Partition]transport.TopicID) (from map[transport.Partition]int64, err error) {
	_, begun := startedOn(t, committed, marks)
	var starts []transport.Commit
	from = make(map[transport.Partition]int64)
	for i := range t.partitions {
		p := transport.Partition{Topic: t.name, Partition: int32(i)}
		if marks[p] == t.id || begun && !slices.Contains(added, p) {
			continue
		}
		if was, ok := committed[p]; ok || !begun { // else it appeared after the topic was begun
			from[p] = was.Offset
		}
		committed[p] = transport.Commit{Partition: p, LeaderEpoch: -1}
		starts = append(starts, transport.Commit{Partition: p, LeaderEpoch: -1, Metadata: mark("", t.id)})
	}
	if failed := m.store(ctx, starts, nil); len(failed) > 0 {
		return nil, &transport.CommitError{Partitions: failed}
	}
	if len(from) > 0 {
		m.log.Error("a topic was created anew: it is read from its first record", "group", m.cfg.Group, "topic", t.name)
	}
	return from, nil
}
