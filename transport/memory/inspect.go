package memory

import (
	"cmp"
	"maps"
	"slices"

	"github.com/eventbus-go/eventbus/internal/lease"
	"github.com/eventbus-go/eventbus/transport"
)

// Member is one member of a group, as Members shows it.
type Member struct {
	ID         string
	InstanceID string
	Partitions []transport.Partition // by topic and number
}

// Records returns copies of all records of a topic, of all its partitions, in the
// order in which they were appended; none for a topic that does not exist.
// What retention, truncation and compaction removed is not among them.
func (c *Cluster) Records(topic string) []transport.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.topics[topic]
	if t == nil {
		return nil
	}
	var entries []entry
	for _, l := range t.logs {
		entries = append(entries, l.entries...)
	}
	// By the order of appending and not by time, which producers may set.
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.order, b.order) })
	records := make([]transport.Record, len(entries))
	for i, e := range entries {
		records[i] = e.Record
	}
	lease.Copy(records) // they are the caller's from now on
	return records
}

// Topics returns the names of all topics, sorted.
func (c *Cluster) Topics() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.topics))
}

// Groups returns the names of all groups that ever had a member, sorted.
func (c *Cluster) Groups() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.groups))
}

// Committed returns the committed offsets of a group, with their metadata; Epoch is
// 0 in all of them.
func (c *Cluster) Committed(group string) map[transport.Partition]transport.Commit {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.committed(group)
}

// committed is Committed with c.mu held. Commits on a topic that was deleted since
// are not the group's any more.
func (c *Cluster) committed(group string) map[transport.Partition]transport.Commit {
	commits := make(map[transport.Partition]transport.Commit)
	if g := c.groups[group]; g != nil {
		for p, m := range g.commits {
			if t := c.topics[p.Topic]; t != nil && t.id == m.topic {
				commits[p] = m.Commit
			}
		}
	}
	return commits
}

// Members returns the members of a group in the order in which they joined.
// Partitions that a member has not given back yet are still its own.
func (c *Cluster) Members(group string) []Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.groups[group]
	if g == nil {
		return nil
	}
	members := make([]Member, len(g.members))
	for i, m := range g.members {
		members[i] = Member{ID: m.id, InstanceID: m.instance}
		for _, p := range sortedPartitions(maps.Keys(g.owners)) {
			if g.owners[p].member == m {
				members[i].Partitions = append(members[i].Partitions, p)
			}
		}
	}
	return members
}
