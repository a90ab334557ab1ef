package group

import (
	"context"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/fetch"
	"github.com/eventbus-go/eventbus/transport"
)

// remembered is what a member remembers about a topic: which one it was when it was first seen,
// or last begun. So another topic of that name is recognized, even if the group took the old
// one's partitions away before the new one existed.
type remembered struct {
	id       transport.TopicID
	cluster  string    // id of the topic's cluster: another cluster has its own commits
	replaced bool      // it replaced another topic: commits on it are marked
	other    time.Time // since when another topic has the name, of which the member has no partitions
}

// remembersFor is how long a member without partitions of a topic remembers the previous one.
// By then every member that had the old topic has noticed or is out of the group, and somebody
// has begun the new one; commits without a mark come from members that never saw the old one.
const remembersFor = time.Hour

// notice handles what the cluster says about a topic that the group reads.
func (m *membership) notice(t *cluster.TopicMeta) {
	// Give up owned partitions at once. Otherwise only remember the change.
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
	// The time starts here, and ends above if a broker names the remembered topic again.
	case r.other.IsZero():
		r.other = time.Now()
	case time.Since(r.other) >= remembersFor:
		r = remembered{id: t.ID, cluster: t.Cluster}
	}
	m.seen[t.Name] = r
}

// remember records which topic a member begins. replaced reports whether it replaced another.
func (m *membership) remember(t *cluster.TopicMeta, replaced bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[t.Name] = remembered{id: t.ID, cluster: t.Cluster, replaced: replaced}
}

// tookOver reports whether a topic replaced another one that the member remembers, now or
// before it began it.
func (m *membership) tookOver(t *cluster.TopicMeta) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.seen[t.Name]
	return r.cluster == t.Cluster && (fetch.DifferentTopic(r.id, t.ID) || r.replaced && r.id == t.ID)
}

// recreated records that a topic was created again.
func (m *membership) recreated(topic string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// Only record it: the fetcher calls this while it holds its mutex, and run handles it.
	if m.replaced == nil {
		m.replaced = make(map[string]bool)
	}
	m.replaced[topic] = true
	fetch.Signal(m.news)
}

// restart gives up the partitions of a topic that was created again, on which nothing may be
// committed any more, and begins those of the new one.
func (m *membership) restart(topic string) {
	ctx, stop := m.during()
	t, err := m.client.FreshTopic(ctx, topic)
	stop()
	if err != nil {
		return // still being created; watchTopics calls again
	}
	// Ask again with the cluster's current answer: the first may have come from a late broker.
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

// startOver returns where the group starts on a topic that was created again: at its first
// record. The start policy does not apply, since the group has begun on a topic of that name,
// and neither do commits under the name, which an owner of the old topic may have made after
// the new one existed.
//
// Commits marked as the new topic's stay: another member has begun it. The first member does so
// for all partitions, so that a member that never saw the old topic finds a commit, not a group
// that has yet to start. Once the topic is begun, a commit without a mark comes from an owner
// of the old topic that did not know about the new one. The member that gets the partition puts
// it back.
//
// from has what was committed on partitions that are put back.
func (m *membership) startOver(ctx context.Context, t *cluster.TopicMeta, added []transport.Partition, committed map[transport.Partition]transport.Commit, marks map[transport.Partition]transport.TopicID) (from map[transport.Partition]int64, err error) {
	_, begun := startedOn(t, committed, marks)
	var starts []transport.Commit
	from = make(map[transport.Partition]int64)
	for i := range t.Partitions {
		p := transport.Partition{Topic: t.Name, Partition: int32(i)}
		if marks[p] == t.ID || begun && !slices.Contains(added, p) {
			continue
		}
		if was, ok := committed[p]; ok || !begun { // otherwise it was added after the topic was begun
			from[p] = was.Offset
		}
		committed[p] = transport.Commit{Partition: p, LeaderEpoch: -1}
		// Offset 0 is the new log's beginning, whatever retention has removed since.
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
