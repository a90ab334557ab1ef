package memory

import (
	"fmt"
	"maps"
	"slices"

	"github.com/eventbus-go/eventbus/transport"
)

// Rebalance revokes all partitions of all members of a group and gives them out
// again: every member is told Revoked, may commit in it, and then Assigned with new epochs.
// A group that does not exist is made, and has nobody to revoke anything from.
func (c *Cluster) Rebalance(group string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.groupOf(group)
	g.recall(func(transport.Partition) bool { return true })
	g.reform()
}

// recall starts to revoke the chosen partitions from their owners.
// A partition that is being revoked already stays so: its owner is not asked twice.
// The caller reforms the group afterwards, which counts the generation up.
func (g *group) recall(chosen func(transport.Partition) bool) {
	moves := make(map[*consumer][]*assignment)
	for _, p := range sortedPartitions(maps.Keys(g.owners)) {
		if a := g.owners[p].assignment; a != nil && !a.revoking && chosen(p) {
			moves[a.consumer] = append(moves[a.consumer], a)
		}
	}
	g.withdraw(moves)
}

// Rewind sets a group's committed offset of a partition, back or forth, and drops its
// metadata, as an operator does. A member that owns the partition hears Revoked first,
// and the offset is set when it has returned: what it commits in it does not count.
// Then the partition is assigned again.
func (c *Cluster) Rewind(group, topic string, partition int32, offset int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, err := c.log(topic, partition)
	if err != nil {
		return err
	}
	g := c.groupOf(group)
	o := g.owners[l.Partition]
	// Nobody owns it, or a static member that is away: there is nobody to ask first.
	if o == nil || o.assignment == nil {
		g.rewind(l.Partition, offset)
		c.change()
		return nil
	}
	// vacate applies it, when the owner has let go or was expelled. Set at once, the
	// offset would be overwritten by what the owner commits in Revoked.
	g.rewinds[l.Partition] = offset
	g.recall(func(p transport.Partition) bool { return p == l.Partition })
	g.reform()
	return nil
}

// Expel throws members out of a group, all of them if none is named: as after a session
// that ended, they can commit nothing any more, the other members get their
// partitions, and each hears Lost and then joins again as a new member.
func (c *Cluster) Expel(group string, memberIDs ...string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.groupOf(group)
	// Every name is checked before anybody is expelled: an error has changed nothing.
	for _, id := range memberIDs {
		if !slices.ContainsFunc(g.members, func(m *member) bool { return m.id == id }) {
			return fmt.Errorf("group %s has no member %s", group, id)
		}
	}
	// A clone, since expel takes members out of the list.
	for _, m := range slices.Clone(g.members) {
		if m.consumer != nil && (len(memberIDs) == 0 || slices.Contains(memberIDs, m.id)) {
			g.expel(m.consumer)
		}
	}
	return nil
}

// HoldFetches stops the delivery of a partition to every group and reader until
// release is called: its owners stay in their groups, and get nothing of it. Release may be
// called more than once.
func (c *Cluster) HoldFetches(topic string, partition int32) (release func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, err := c.log(topic, partition)
	if err != nil {
		return nil, err
	}
	// While it can still be told that they were fetching: see noteFetch.
	for _, f := range l.followers {
		f.noteFetch()
	}
	l.holds++
	// Holds are counted, since several may be in force on one log; each is given back once.
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
