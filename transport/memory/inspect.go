package memory

import (
	"cmp"
	"maps"
	"slices"

	"github.com/eventbus-go/eventbus/internal/lease"
	"github.com/eventbus-go/eventbus/transport"
)

// Member is one member of a group, as returned by Members.
type Member struct {
	ID         string
	InstanceID string
	Partitions []transport.Partition // sorted by topic and number
}

// Records returns copies of all records of a topic, in the order of appending across its
// partitions. Records removed by retention, truncation or compaction are missing. It returns
// nil for a topic that does not exist.
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
	// In order of appending; times may be set by producers.
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.order, b.order) })
	records := make([]transport.Record, len(entries))
	for i, e := range entries {
		records[i] = e.Record
	}
	lease.Copy(records) // the caller owns them
	return records
}

// Topics returns the names of all topics, sorted.
func (c *Cluster) Topics() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.topics))
}

// Groups returns the names of all groups that ever existed, sorted.
func (c *Cluster) Groups() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.groups))
}

// Committed returns the committed offsets of a group, with their metadata. Every Epoch is 0.
func (c *Cluster) Committed(group string) map[transport.Partition]transport.Commit {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.committed(group)
}

// committed is Committed with c.mu held. It omits commits on a topic that was deleted since.
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

// Members returns the members of a group in the order of joining. A partition belongs to its
// member until that has given it back.
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
