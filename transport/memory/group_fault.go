package memory

import (
	"fmt"
	"maps"
	"slices"

	"github.com/eventbus-go/eventbus/transport"
)

// Rebalance revokes all partitions of all members of a group and assigns them again: for every
// member Revoked is called, in which it may commit, and then Assigned with new epochs. It
// creates a group that does not exist.
func (c *Cluster) Rebalance(group string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.groupOf(group)
	g.recall(func(transport.Partition) bool { return true })
	g.reform()
}

// recall starts to revoke the chosen partitions from their owners, except those already being
// revoked. The caller then calls reform, which counts the generation up.
func (g *group) recall(chosen func(transport.Partition) bool) {
	moves := make(map[*consumer][]*assignment)
	for _, p := range sortedPartitions(maps.Keys(g.owners)) {
		if a := g.owners[p].assignment; a != nil && !a.revoking && chosen(p) {
			moves[a.consumer] = append(moves[a.consumer], a)
		}
	}
	g.withdraw(moves)
}

// Rewind sets a group's committed offset of a partition, back or forth, and drops its metadata,
// as an operator does. If a member owns the partition, Revoked is called first, the offset is
// set once it has returned, overriding what it commits, and the partition is assigned again.
func (c *Cluster) Rewind(group, topic string, partition int32, offset int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, err := c.log(topic, partition)
	if err != nil {
		return err
	}
	g := c.groupOf(group)
	o := g.owners[l.Partition]
	// No owner, or an absent static member: nobody to revoke from.
	if o == nil || o.assignment == nil {
		g.rewind(l.Partition, offset)
		c.change()
		return nil
	}
	// vacate sets the offset, once the owner has released the partition or was expelled. Set
	// now, it would be overwritten by the owner's commit in Revoked.
	g.rewinds[l.Partition] = offset
	g.recall(func(p transport.Partition) bool { return p == l.Partition })
	g.reform()
	return nil
}

// Expel removes members from a group, all of them if none is named, as if their sessions had
// ended: they can no longer commit, the other members get their partitions, and each gets Lost
// and then joins again as a new member.
func (c *Cluster) Expel(group string, memberIDs ...string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.groupOf(group)
	// Check every name before expelling anybody: an error must change nothing.
	for _, id := range memberIDs {
		if !slices.ContainsFunc(g.members, func(m *member) bool { return m.id == id }) {
			return fmt.Errorf("group %s has no member %s", group, id)
		}
	}
	// Use a clone, since expel removes members from the list.
	for _, m := range slices.Clone(g.members) {
		if m.consumer != nil && (len(memberIDs) == 0 || slices.Contains(memberIDs, m.id)) {
			g.expel(m.consumer)
		}
	}
	return nil
}

// HoldFetches stops delivering a partition to every group and reader until release is called.
// Its owners stay in their groups. release may be called more than once.
func (c *Cluster) HoldFetches(topic string, partition int32) (release func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, err := c.log(topic, partition)
	if err != nil {
		return nil, err
	}
	// Before the hold ends fetching; see noteFetch.
	for _, f := range l.followers {
		f.noteFetch()
	}
	l.holds++
	// Holds are counted, since a log may have several; each is released once.
	held := true
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if held {
			held = false
			l.holds--
			l.wakeReaders()
		}
	}, nil
}
