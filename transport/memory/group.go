package memory

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/eventbus-go/eventbus/internal/grouptypes"
	"github.com/eventbus-go/eventbus/transport"
)

// group spreads the partitions of its members' topics over them, and keeps the
// committed offsets. It is guarded by the cluster's mutex.
// It lives as long as the cluster: committed offsets outlast the members.
type group struct {
	cluster    *Cluster
	name       string
	generation int32
	members    []*member // in the order in which they joined
	owners     map[transport.Partition]*owner
	commits    map[transport.Partition]commitment
	rewinds    map[transport.Partition]int64 // offsets to set when their owners have let go
	rejections []*commitRejection
	types      grouptypes.Book // has a lock of its own
}

// member is a place in a group. A static one stays while its consumer is away.
// The consumer may be replaced by another with the same instance id (KIP-345); the
// member stays, and with it its place in the order and its partitions.
type member struct {
	id       string
	instance string
	consumer *consumer // nil while away
	topics   map[string]transport.TopicStart
	types    []grouptypes.ID // that it handles
	expiry   *time.Timer     // ends the membership of one that stays away
}

func (m *member) stopExpiry() {
	if m.expiry != nil {
		m.expiry.Stop()
	}
}

// serves reports whether the member can take partitions that it does not have.
func (m *member) serves() bool { return m.consumer != nil && !m.consumer.closing }

// owner is the member that has a partition.
// It stays while the assignment goes and comes, in a static member's absence.
type owner struct {
	member     *member
	assignment *assignment // nil while the member is away
}

// groupOf returns a group, which it makes if there is none: a test may set faults of a
// group before its first member joins. c.mu is held.
func (c *Cluster) groupOf(name string) *group {
	g := c.groups[name]
	if g == nil {
		g = &group{
			cluster: c,
			name:    name,
			owners:  make(map[transport.Partition]*owner),
			commits: make(map[transport.Partition]commitment),
			rewinds: make(map[transport.Partition]int64),
		}
		c.groups[name] = g
	}
	return g
}

// join counts a consumer in, as a new member or in the place of a static one.
func (g *group) join(c *consumer) {
	if !g.cluster.cutAt.IsZero() || c.member != nil {
		return // Reconnect comes back to it, or came before rejoin did
	}
	g.cluster.memberIDs++
	// Counted and not random: a failing test names the same member in every run.
	id := fmt.Sprintf("member-%d", g.cluster.memberIDs)
	i := slices.IndexFunc(g.members, func(m *member) bool { return m.instance != "" && m.instance == c.config.InstanceID })
	if i < 0 {
		c.member = &member{id: id, instance: c.config.InstanceID, consumer: c, topics: c.topics, types: c.types}
		g.members = append(g.members, c.member)
		g.reform()
		return
	}
	// No new generation and, with the same topics, no move: a static member is for that.
	m := g.members[i]
	m.stopExpiry()
	// The newer of two with one instance id wins, as with Kafka; the older is fenced for
	// good, since joining again would fence the newer in turn.
	if old := m.consumer; old != nil {
		old.fenced = fmt.Errorf("%w: another consumer has the instance id %s", transport.ErrFenced, m.instance)
		old.member = nil
		old.lost(g.ownedBy(m))
	}
	// The place stays the member's; handOut makes an assignment of the new consumer's.
	for _, o := range g.owners {
		if o.member == m {
			o.assignment = nil
		}
	}
	// The successor may be of another version and have other topics: rebalance takes
	// away what it does not subscribe to.
	m.id, m.consumer, m.topics, m.types = id, c, c.topics, c.types
	c.member = m
	g.noteTypes()
	g.rebalance()
}

// leave is a consumer's clean end: nothing is assigned to it any more. A static
// member keeps its place, and its partitions, for a session.
func (g *group) leave(c *consumer) {
	m := c.member
	c.member = nil
	g.cluster.change()
	switch {
	// It was expelled or fenced, or never joined.
	case m == nil:
	case m.instance == "":
		g.remove(m)
		g.reform()
	default:
		m.consumer = nil
		m.expiry = time.AfterFunc(c.config.SessionTimeout, func() { g.expire(m) })
	}
}

// expire ends the membership of a static member that stayed away.
// It runs on the timer's goroutine, so its successor may have come in between.
func (g *group) expire(m *member) {
	g.cluster.mu.Lock()
	defer g.cluster.mu.Unlock()
	if m.consumer == nil {
		g.remove(m)
		g.reform()
	}
}

// remove takes a member out, and its name from the partitions that it had.
// The assignments themselves are ended by the caller, who knows whether they are lost.
func (g *group) remove(m *member) {
	g.members = slices.DeleteFunc(g.members, func(o *member) bool { return o == m })
	for p, o := range g.owners {
		if o.member == m {
			g.vacate(p)
		}
	}
}

// expel takes everything from a consumer without asking. It hears Lost, and joins again.
// It does nothing for a consumer that is no member, so several causes may expel it.
// The events are queued in the order in which the Listener is to hear of them.
func (g *group) expel(c *consumer) {
	m := c.member
	if m == nil {
		return
	}
	taken := g.ownedBy(m)
	c.member = nil
	g.remove(m)
	c.lost(taken)
	c.enqueue(c.rejoin)
	g.reform()
}

// ownedBy are the assignments of a member, by partition.
// Sorted, so that the Listener hears of them in the same order in every run.
func (g *group) ownedBy(m *member) []*assignment {
	var taken []*assignment
	for _, p := range sortedPartitions(maps.Keys(g.owners)) {
		if o := g.owners[p]; o.member == m && o.assignment != nil {
			taken = append(taken, o.assignment)
		}
	}
	return taken
}

// lost makes assignments void, and lets the Listener hear so.
// At once and not when the Listener has heard: others get the partitions meanwhile.
func (c *consumer) lost(taken []*assignment) {
	for _, a := range taken {
		a.end()
	}
	c.enqueue(func() { c.lose(taken) })
}

// end makes an assignment void.
func (a *assignment) end() {
	a.gone = true
	delete(a.consumer.assigned, a.Partition)
	a.log.unfollow(a)
}

// drop takes the partitions of a topic from their owners without asking.
// No rewind is left for a topic that is created with the name later.
func (g *group) drop(t *topic) {
	taken := make(map[*consumer][]*assignment)
	for _, l := range t.logs {
		o := g.owners[l.Partition]
		if o != nil && o.assignment != nil {
			taken[o.assignment.consumer] = append(taken[o.assignment.consumer], o.assignment)
		}
		delete(g.owners, l.Partition)
		delete(g.rewinds, l.Partition)
	}
	for c, assignments := range taken {
		c.lost(assignments)
	}
}

// vacate leaves a partition without an owner.
// That is the moment for a rewind: no owner can commit over it any more.
func (g *group) vacate(p transport.Partition) {
	delete(g.owners, p)
	if offset, ok := g.rewinds[p]; ok {
		delete(g.rewinds, p)
		g.rewind(p, offset)
	}
}

// release takes back what a consumer has let go.
// A partition of a static member that closes stays in its place, for its successor.
func (g *group) release(taken []*assignment) {
	for _, a := range taken {
		a.end()
		if o := g.owners[a.Partition]; a.consumer.closing && o.member.instance != "" {
			o.assignment = nil
		} else {
			g.vacate(a.Partition)
		}
	}
	g.rebalance()
}

// moving reports whether a member is letting go of partitions.
func (g *group) moving() bool {
	for _, o := range g.owners {
		if o.assignment != nil && o.assignment.revoking {
			return true
		}
	}
	return false
}

// reform is a rebalance after members or partitions came or went: a new generation.
// Status shows the count of rebalances to each member, also if none of its partitions move.
func (g *group) reform() {
	g.generation++
	for _, m := range g.members {
		if m.consumer != nil {
			m.consumer.rebalances++
		}
	}
	g.noteTypes()
	g.rebalance()
}

// noteTypes notes what the members handle now.
// Types of which the last handler has left are remembered by the book.
func (g *group) noteTypes() {
	var live []grouptypes.ID
	for _, m := range g.members {
		live = append(live, m.types...)
	}
	g.types.Update(live, nil, time.Now())
}

// reformSubscribers reforms the groups that have a member with that topic. c.mu is held.
// By name, so that the order of groups, and of what they hear, is always the same.
func (c *Cluster) reformSubscribers(topic string) {
	for _, name := range slices.Sorted(maps.Keys(c.groups)) {
		g := c.groups[name]
		if slices.ContainsFunc(g.members, func(m *member) bool { _, has := m.topics[topic]; return has }) {
			g.reform()
		}
	}
	c.change()
}

func sortedPartitions(partitions iter.Seq[transport.Partition]) []transport.Partition {
	return transport.SortedPartitions(partitions)
}
