package group

import (
	"context"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/fetch"
	"github.com/eventbus-go/eventbus/transport"
)

// remembered is what a member remembers of a topic: which one it was when it was
// seen first, or begun last. So another one of its name is recognised, also if
// the group took the partitions of the old one away before the new one was there.
type remembered struct {
	id       transport.TopicID
	cluster  string    // the id of the topic's cluster: another has its own commits
	replaced bool      // it took the place of another: what is committed on it is marked
	other    time.Time // since when another of the name is seen, of which the member has nothing
}

// remembersFor is how long a member that has nothing of a topic remembers the one
// before. By then all who had that have noticed, or are out of the group, and
// somebody has begun the new one: what is committed without a mark is of a member
// that never saw the old one.
const remembersFor = time.Hour

// notice takes in what the cluster says of a topic that the group reads.
func (m *membership) notice(t *cluster.TopicMeta) {
	// What is owned is given up at once. For the rest the change is only remembered.
	if len(m.fetch.Outdated(t)) > 0 {
		m.recreated(t.Name)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.seen[t.Name]
	switch {
	case r.id == transport.TopicID{} || r.cluster != t.Cluster:
		r = remembered{id: t.ID, cluster: t.Cluster}
	case !fetch.DifferentTopic(r.id, t.ID):
		r.other = time.Time{}
	// The time begins here, and ends above if a broker names the remembered topic again.
	case r.other.IsZero():
		r.other = time.Now()
	case time.Since(r.other) >= remembersFor:
		r = remembered{id: t.ID, cluster: t.Cluster}
	}
	m.seen[t.Name] = r
}

// remember notes which topic a member begins. replaced says that it took the place of
// another.
func (m *membership) remember(t *cluster.TopicMeta, replaced bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[t.Name] = remembered{id: t.ID, cluster: t.Cluster, replaced: replaced}
}

// tookOver reports whether a topic took the place of another that the member
// remembers, now or before it began it.
func (m *membership) tookOver(t *cluster.TopicMeta) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.seen[t.Name]
	return r.cluster == t.Cluster && (fetch.DifferentTopic(r.id, t.ID) || r.replaced && r.id == t.ID)
}

// recreated notes that a topic was created again.
func (m *membership) recreated(topic string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// Only noted: the fetcher calls this under its own mutex, and run deals with it.
	if m.replaced == nil {
		m.replaced = make(map[string]bool)
	}
	m.replaced[topic] = true
	fetch.Signal(m.news)
}

// restart gives up the partitions of a topic that was created again, of which
// nothing may be committed any more, and begins with those of the new one.
func (m *membership) restart(topic string) {
	t, err := m.client.FreshTopic(m.ctx, topic)
	if err != nil {
		return // still being created; watchTopics comes back to it
	}
	// Asked again with what the cluster says now: the first word may have been a late broker's.
	lost := m.fetch.Outdated(t)
	m.drop(lost)
	// The new topic may have fewer partitions.
	var again []transport.Partition
	for _, p := range lost {
		if int(p.Partition) < len(t.Partitions) {
			again = append(again, p)
		}
	}
	if len(again) > 0 {
		m.begin(again, again)
	}
}

// startOver is where the group starts on a topic that was created again: at its
// first record, whatever the start policy, since the group has begun on the topic
// of that name, and whatever is committed under the name, which an owner of the
// old one may have done after the new one was there.
//
// What is marked as the new topic's stays: another member began it. The first
// one does so for all partitions, so that one that has never seen the old topic
// finds a commit instead of a group that has yet to start. Once it is begun, what
// has no mark was committed by an owner of the old one: one that did not know of
// the new one, and did so after it was begun. Each is put back by who gets it.
//
// It returns what was committed on partitions that are put back.
func (m *membership) startOver(ctx context.Context, t *cluster.TopicMeta, added []transport.Partition, committed map[transport.Partition]transport.Commit, marks map[transport.Partition]transport.TopicID) (from map[transport.Partition]int64, err error) {
	_, begun := startedOn(t, committed, marks)
	var starts []transport.Commit
	from = make(map[transport.Partition]int64)
	for i := range t.Partitions {
		p := transport.Partition{Topic: t.Name, Partition: int32(i)}
		if marks[p] == t.ID || begun && !slices.Contains(added, p) {
			continue
		}
		if was, ok := committed[p]; ok || !begun { // else it appeared after the topic was begun
			from[p] = was.Offset
		}
		committed[p] = transport.Commit{Partition: p, LeaderEpoch: -1}
		// The offset is 0: the new log's begin, whatever its retention has removed since.
		starts = append(starts, transport.Commit{Partition: p, LeaderEpoch: -1, Metadata: mark("", t.ID)})
	}
	if failed := m.store(ctx, starts, nil); len(failed) > 0 {
		return nil, &transport.CommitError{Partitions: failed}
	}
	if len(from) > 0 {
		m.log.Error("a topic was created again: it is read from its first record", "group", m.cfg.Group, "topic", t.Name)
	}
	return from, nil
}
