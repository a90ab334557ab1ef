package memory

import (
	"maps"
	"slices"

	"github.com/eventbus-go/eventbus/transport"
)

// rebalance moves partitions towards the target, incrementally: what has to move is
// revoked, what stays is not touched, and what is free is given away once nothing in
// the group is being revoked. Each revocation that ends comes here again.
// That is the cooperative protocol of KIP-429 and KIP-848: a partition has one owner at
// a time, and a member that keeps its partitions does not notice.
func (g *group) rebalance() {
	if !g.cluster.cutAt.IsZero() {
		return // Reconnect comes back to it
	}
	target := g.target()
	moves := make(map[*consumer][]*assignment)
	for _, p := range sortedPartitions(maps.Keys(g.owners)) {
		o := g.owners[p]
		// A partition that nobody should have has the target nil, and is revoked too.
		if o.assignment != nil && !o.assignment.revoking && target[p] != o.member {
			moves[o.assignment.consumer] = append(moves[o.assignment.consumer], o.assignment)
		}
	}
	g.withdraw(moves)
	// Giving out before every revocation has ended would let the new owner start from an
	// offset that the old one is about to commit past.
	if !g.moving() {
		g.handOut(target)
	}
	g.cluster.change()
}

// withdraw starts to revoke assignments.
// Nothing more is fetched from here on. Revoked is called later, on the consumer's own
// goroutine, once for all that it has to give up.
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

// handOut gives every partition without an assignment to its target.
func (g *group) handOut(target map[transport.Partition]*member) {
	given := make(map[*consumer][]*assignment)
	for _, p := range sortedPartitions(maps.Keys(target)) {
		m, o := target[p], g.owners[p]
		if o == nil {
			o = new(owner)
			g.owners[p] = o
		}
		// A partition that has one is where it should be: nothing moves at this point.
		if o.assignment == nil {
			o.member = m
			// A static member that is away keeps the place; its successor gets the assignment.
			if m.serves() {
				o.assignment = g.assign(p, m.consumer)
				given[m.consumer] = append(given[m.consumer], o.assignment)
			}
		}
	}
	// Assigned is queued before Skipped, so that the Listener hears them in that order.
	// The order of consumers does not matter: each has a queue of its own.
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

// assign makes a partition a consumer's.
// Epochs are counted by the cluster and never used twice, so that a commit for an
// earlier stretch of ownership, also of the same consumer, is told apart and refused.
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
	// From here on the assignment is woken and repositioned; end takes both back.
	a.log.followers = append(a.log.followers, a)
	return a
}

// target says who should have each partition: its owner, as far as no member
// has two more than another that could have one of them.
// It is a function of the group's state alone and draws no lots: the same joins give
// the same partitions in every run of a test.
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
	// What has no owner goes to the idlest first, which moves nothing.
	for _, p := range free {
		if m := g.idlest(p.Topic, load); m != nil {
			target[p] = m
			load[m]++
		}
	}
	// Then members with two more than another give, from the last partition on, so that
	// the low numbers stay. Each move narrows the gap, so it ends.
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

// accompany gives the partitions of companions, which weigh nothing, to the members
// that have what they go with. A companion to which a member subscribes is no
// companion.
// It comes last, when the topics they go with are given out.
func (g *group) accompany(target map[transport.Partition]*member) {
	for _, reader := range g.members {
		for name, start := range reader.topics {
			// Either may not be created yet, or be deleted: then there is nothing to give.
			companion, other := g.cluster.topics[name], g.cluster.topics[start.CompanionOf]
			if companion == nil || other == nil || slices.ContainsFunc(g.members, func(m *member) bool { return m.subscribes(name) }) {
				continue
			}
			for n, l := range companion.logs {
				// Only to a member that asks for the companion: in a rolling deployment the owner
				// of the other partition may be of a version that does not know it yet.
				if m := target[other.logs[n%len(other.logs)].Partition]; m == reader {
					target[l.Partition] = m
				}
			}
		}
	}
}

// subscribes reports whether the group spreads a topic over the member and others.
// Of a companion it is false: that one follows its other topic and is not spread.
func (m *member) subscribes(topic string) bool {
	t, wants := m.topics[topic]
	return wants && t.CompanionOf == ""
}

// partitions are all those of the members' topics, in order.
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

// keeper is the member that has a partition and may keep it: a static one also
// while it closes and while it is away.
// It is nil for a partition on its way out, which may go to anyone.
func (g *group) keeper(p transport.Partition) *member {
	o := g.owners[p]
	if o == nil {
		return nil
	}
	// A member that came back in its static place may have other topics than before.
	if !o.member.subscribes(p.Topic) {
		return nil
	}
	// KIP-345: a static member that shuts down is expected back within its session, and
	// its partitions wait for it instead of moving twice.
	revoking := o.assignment != nil && o.assignment.revoking
	if revoking && !(o.member.instance != "" && o.member.consumer.closing) {
		return nil
	}
	return o.member
}

// idlest is the member with the fewest partitions that can take one of a topic, of
// several the one that joined first.
// It is nil if none can. Members that close or are away take nothing new.
func (g *group) idlest(topic string, load map[*member]int) *member {
	var idlest *member
	for _, m := range g.members {
		if m.subscribes(topic) && m.serves() && (idlest == nil || load[m] < load[idlest]) {
			idlest = m
		}
	}
	return idlest
}
