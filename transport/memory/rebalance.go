package memory

import (
	"maps"
	"slices"

	"github.com/eventbus-go/eventbus/transport"
)

// rebalance moves partitions towards the target incrementally: it revokes those that must move,
// leaves the others alone, and assigns free ones once nothing in the group is being revoked. It
// is called again after each revocation. This is the cooperative protocol of KIP-429 and
// KIP-848: a partition has one owner at a time, and a member that keeps its partitions notices
// nothing.
func (g *group) rebalance() {
	if !g.cluster.cutAt.IsZero() {
		return // Reconnect calls rebalance
	}
	target := g.target()
	moves := make(map[*consumer][]*assignment)
	for _, p := range sortedPartitions(maps.Keys(g.owners)) {
		o := g.owners[p]
		// A partition that nobody should have has a nil target, and is revoked too.
		if o.assignment != nil && !o.assignment.revoking && target[p] != o.member {
			moves[o.assignment.consumer] = append(moves[o.assignment.consumer], o.assignment)
		}
	}
	g.withdraw(moves)
	// Assigning before every revocation has ended would let a new owner start from an offset that
	// the old one is about to commit past.
	if !g.moving() {
		g.handOut(target)
	}
	g.cluster.change()
}

// withdraw starts to revoke assignments. Nothing more is fetched from now on. Revoked is called
// later on the consumer's own goroutine, once for all its partitions.
func (g *group) withdraw(moves map[*consumer][]*assignment) {
	for c, taken := range moves {
		for _, a := range taken {
			// Before revoking is set, which ends fetching.
			a.noteFetch()
			a.revoking = true
		}
		c.enqueue(func() { c.revoke(taken) })
	}
}

// handOut assigns every partition without an assignment to its target.
func (g *group) handOut(target map[transport.Partition]*member) {
	given := make(map[*consumer][]*assignment)
	for _, p := range sortedPartitions(maps.Keys(target)) {
		m, o := target[p], g.owners[p]
		if o == nil {
			o = new(owner)
			g.owners[p] = o
		}
		// A partition with an assignment is where it should be: nothing is moving now.
		if o.assignment == nil {
			o.member = m
			// An absent static member keeps the partition; its next consumer gets the assignment.
			if m.serves() {
				o.assignment = g.assign(p, m.consumer)
				given[m.consumer] = append(given[m.consumer], o.assignment)
			}
		}
	}
	// Queue Assigned before Skipped, so that the Listener gets them in that order. The order of
	// consumers does not matter: each has its own queue.
	for c, assignments := range given {
		c.enqueue(func() { c.announce(assignments) })
		for _, a := range assignments {
			if from, ok := g.recreatedFrom(a.Partition); ok {
				a.skip(from, a.next, errRecreated)
			}
			a.reposition()
		}
	}
}

// assign assigns a partition to a consumer. The cluster counts epochs and never reuses one, so
// that a commit from an earlier period of ownership, even by the same consumer, is recognized
// and refused.
func (g *group) assign(p transport.Partition, c *consumer) *assignment {
	t := g.cluster.topics[p.Topic]
	commit := g.startingAt(t, p, c.topics[p.Topic].Start)
	g.cluster.epochs++
	a := &assignment{
		Assignment: transport.Assignment{
			Partition:   p,
			Epoch:       g.cluster.epochs,
			Offset:      commit.Offset,
			Metadata:    commit.Metadata,
			LeaderEpoch: commit.LeaderEpoch,
			TopicID:     t.id,
			ClusterID:   clusterID,
			Partitions:  int32(len(t.logs)),
		},
		consumer: c,
		log:      t.logs[p.Partition],
		next:     commit.Offset,
	}
	c.assigned[p] = a
	// From here on the log wakes and repositions the assignment, until end.
	a.log.followers = append(a.log.followers, a)
	return a
}

// target returns the intended owner of each partition: its current owner, unless that has two
// more than another member that could take the partition. It depends only on the group's state
// and uses no randomness: the same joins give the same partitions on every run.
func (g *group) target() map[transport.Partition]*member {
	target := make(map[transport.Partition]*member)
	load := make(map[*member]int)
	partitions := g.partitions()
	var free []transport.Partition
	for _, p := range partitions {
		if m := g.keeper(p); m != nil {
			target[p] = m
			load[m]++
		} else {
			free = append(free, p)
		}
	}
	// Partitions without an owner go to the member with the fewest first, which moves nothing.
	for _, p := range free {
		if m := g.idlest(p.Topic, load); m != nil {
			target[p] = m
			load[m]++
		}
	}
	// Then members with two more than another give some up, from the last partition on, so that
	// low numbers stay. Each move narrows the gap, so the loop ends.
	for moved := true; moved; {
		moved = false
		for _, p := range slices.Backward(partitions) {
			from, to := target[p], g.idlest(p.Topic, load)
			if to != nil && load[from] > load[to]+1 {
				target[p] = to
				load[from]--
				load[to]++
				moved = true
			}
		}
	}
	g.accompany(target)
	return target
}

// accompany assigns the partitions of companions, which have no weight, to the members that own
// the corresponding partitions. A companion that some member subscribes to counts as an
// ordinary topic. It runs last, when the other topics are assigned.
func (g *group) accompany(target map[transport.Partition]*member) {
	for _, reader := range g.members {
		for name, start := range reader.topics {
			// Either may not exist.
			companion, other := g.cluster.topics[name], g.cluster.topics[start.CompanionOf]
			if companion == nil || other == nil || slices.ContainsFunc(g.members, func(m *member) bool { return m.subscribes(name) }) {
				continue
			}
			for n, l := range companion.logs {
				// Only to a member that lists the companion: in a rolling deployment the owner
				// of the other partition may be of a version that does not know it yet.
				if m := target[other.logs[n%len(other.logs)].Partition]; m == reader {
					target[l.Partition] = m
				}
			}
		}
	}
}

// subscribes reports whether the group spreads a topic over this member and others. It returns
// false for a companion, which follows its other topic.
func (m *member) subscribes(topic string) bool {
	t, wants := m.topics[topic]
	return wants && t.CompanionOf == ""
}

// partitions returns all partitions of the members' topics, in order.
func (g *group) partitions() []transport.Partition {
	all := make(map[transport.Partition]bool)
	for _, m := range g.members {
		for name := range m.topics {
			if t := g.cluster.topics[name]; t != nil && m.subscribes(name) {
				for _, l := range t.logs {
					all[l.Partition] = true
				}
			}
		}
	}
	return sortedPartitions(maps.Keys(all))
}

// keeper returns the member that owns a partition and may keep it; a static member may also
// while it closes or is away. It returns nil for a partition that is being revoked, which may
// go to anyone.
func (g *group) keeper(p transport.Partition) *member {
	o := g.owners[p]
	if o == nil {
		return nil
	}
	// A member that returned to its static place may have other topics than before.
	if !o.member.subscribes(p.Topic) {
		return nil
	}
	// KIP-345: a static member that shuts down is expected back within its session, and its
	// partitions wait for it instead of moving twice.
	revoking := o.assignment != nil && o.assignment.revoking
	if revoking && !(o.member.instance != "" && o.member.consumer.closing) {
		return nil
	}
	return o.member
}

// idlest returns the member with the fewest partitions among those that can take one of the
// topic; if several have as few, the one that joined first; nil if none can. Closing and absent
// members take no more.
func (g *group) idlest(topic string, load map[*member]int) *member {
	var idlest *member
	for _, m := range g.members {
		if m.subscribes(topic) && m.serves() && (idlest == nil || load[m] < load[idlest]) {
			idlest = m
		}
	}
	return idlest
}
