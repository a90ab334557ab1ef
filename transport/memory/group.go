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

// group spreads the partitions of its members' topics over them, and stores the committed
// offsets. The cluster's mutex guards it. It lives as long as the cluster: committed offsets
// outlive the members.
type group struct {
	cluster    *Cluster
	name       string
	generation int32
	members    []*member // in the order of joining
	owners     map[transport.Partition]*owner
	commits    map[transport.Partition]commitment
	rewinds    map[transport.Partition]int64 // offsets to set once their owners have released the partitions
	rejections []*commitRejection
	types      grouptypes.Book // has its own lock
}

// member is a place in a group. A static member stays while its consumer is away. Another consumer
// with the same instance id may take it over (KIP-345), with its place in the order and its
// partitions.
type member struct {
	id       string
	instance string
	consumer *consumer // nil while away
	topics   map[string]transport.TopicStart
	types    []grouptypes.ID // that it handles
	expiry   *time.Timer     // removes a member that stays away
}

func (m *member) stopExpiry() {
	if m.expiry != nil {
		m.expiry.Stop()
	}
}

// serves reports whether the member can be assigned further partitions.
func (m *member) serves() bool { return m.consumer != nil && !m.consumer.closing }

// owner is the member that owns a partition. A static member stays the owner while its
// consumer, and with it the assignment, is replaced.
type owner struct {
	member     *member
	assignment *assignment // nil while the member is away
}

// groupOf returns a group, creating it if necessary: a test may set a group's faults before its
// first member joins. c.mu is held.
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

// join adds a consumer, as a new member or in the place of a static one.
func (g *group) join(c *consumer) {
	if !g.cluster.cutAt.IsZero() || c.member != nil {
		return // Reconnect will join it, or has joined it before rejoin did
	}
	g.cluster.memberIDs++
	// Counted, not random: a failing test names the same member on every run.
	id := fmt.Sprintf("member-%d", g.cluster.memberIDs)
	i := slices.IndexFunc(g.members, func(m *member) bool { return m.instance != "" && m.instance == c.config.InstanceID })
	if i < 0 {
		c.member = &member{id: id, instance: c.config.InstanceID, consumer: c, topics: c.topics, types: c.types}
		g.members = append(g.members, c.member)
		g.reform()
		return
	}
	// No new generation and, with the same topics, no move: this is what static members are for.
	m := g.members[i]
	m.stopExpiry()
	// Of two consumers with one instance id the newer wins, as in Kafka. The older is fenced
	// permanently, since joining again would fence the newer.
	if old := m.consumer; old != nil {
		old.fenced = fmt.Errorf("%w: another consumer has the instance id %s", transport.ErrFenced, m.instance)
		old.member = nil
		old.lost(g.ownedBy(m))
	}
	// The member keeps its partitions; handOut creates the new consumer's assignments.
	for _, o := range g.owners {
		if o.member == m {
			o.assignment = nil
		}
	}
	// The successor may be of another version with other topics; rebalance takes away what it does
	// not subscribe to.
	m.id, m.consumer, m.topics, m.types = id, c, c.topics, c.types
	c.member = m
	g.noteTypes()
	g.rebalance()
}

// leave ends a consumer's membership cleanly; it has no assignments any more. A static member keeps
// its place and its partitions for a session.
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

// expire removes a static member that stayed away. It runs on the timer's goroutine, so the
// member's next consumer may already be there.
func (g *group) expire(m *member) {
	g.cluster.mu.Lock()
	defer g.cluster.mu.Unlock()
	if m.consumer == nil {
		g.remove(m)
		g.reform()
	}
}

// remove removes a member from the group and as owner of its partitions. The caller ends the
// assignments, since it knows whether they are lost.
func (g *group) remove(m *member) {
	g.members = slices.DeleteFunc(g.members, func(o *member) bool { return o == m })
	for p, o := range g.owners {
		if o.member == m {
			g.vacate(p)
		}
	}
}

// expel takes everything from a consumer without asking. It gets Lost and joins again. expel does
// nothing for a consumer that is not a member, so several causes may expel it. Events are queued in
// the order in which the Listener gets them.
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

// ownedBy returns the assignments of a member, sorted by partition, so that the Listener gets
// them in the same order on every run.
func (g *group) ownedBy(m *member) []*assignment {
	var taken []*assignment
	for _, p := range sortedPartitions(maps.Keys(g.owners)) {
		if o := g.owners[p]; o.member == m && o.assignment != nil {
			taken = append(taken, o.assignment)
		}
	}
	return taken
}

// lost ends assignments and tells the Listener. They end at once, not when the Listener has
// been told: others get the partitions meanwhile.
func (c *consumer) lost(taken []*assignment) {
	for _, a := range taken {
		a.end()
	}
	c.enqueue(func() { c.lose(taken) })
}

// end invalidates an assignment.
func (a *assignment) end() {
	a.gone = true
	delete(a.consumer.assigned, a.Partition)
	a.log.unfollow(a)
}

// drop takes the partitions of a deleted topic from their owners without asking, and removes their
// rewinds, which must not apply to a later topic of that name.
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

// vacate leaves a partition without an owner. This is the time for a rewind: no owner can
// commit over it any more.
func (g *group) vacate(p transport.Partition) {
	delete(g.owners, p)
	if offset, ok := g.rewinds[p]; ok {
		delete(g.rewinds, p)
		g.rewind(p, offset)
	}
}

// release takes back partitions that a consumer has released. Those of a closing static member keep
// their owner, for its next consumer.
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

// moving reports whether any partition of the group is being revoked.
func (g *group) moving() bool {
	for _, o := range g.owners {
		if o.assignment != nil && o.assignment.revoking {
			return true
		}
	}
	return false
}

// reform starts a new generation and rebalances, after members or partitions have come or gone.
// Every member counts it as a rebalance, even if none of its partitions move.
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

// noteTypes records the types that members handle now. The book remembers types whose last
// handler has left.
func (g *group) noteTypes() {
	var live []grouptypes.ID
	for _, m := range g.members {
		live = append(live, m.types...)
	}
	g.types.Update(live, nil, time.Now())
}

// reformSubscribers reforms the groups with a member that has the topic. c.mu is held. Groups are
// visited by name, so that events always come in the same order.
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
