package group

import (
	"slices"

	"github.com/eventbus-go/eventbus/transport"
)

// companions are the topics that the member reads but the group does not spread: each of their
// partitions goes with a partition of another topic (transport.TopicStart.CompanionOf). So the
// group's leader, of any library, weighs only the topics that all members share.
//
// No protocol shows who reads a companion, so each member decides by itself: it owns what goes
// with its partitions, unless the coordinator's description of the group shows that a member
// subscribes to the companion. Older versions of this library did; beside such a member, the
// companion belongs to it.
type companions struct {
	of    map[string]string // the topic that each companion goes with
	wants chan struct{}     // requests a description of the group

	counts map[string]int // partitions as last seen by watchTopics, which alone uses it

	// membership.mu guards the fields below.

	assigned []transport.Partition // by the group; nil before its first assignment
	// version counts the group's assignments. described is the version at the last description:
	// one from before an assignment does not say who is in the group now.
	version, described int
	subscribed         map[string]bool // companions that a member subscribes to
	changed            bool            // run should call align
	orphans            []orphan        // at the last description of the group
	unread             []transport.UnreadPartition
}

// orphan is a partition of a companion that goes with a partition of a member that does not read
// companions.
type orphan struct {
	transport.Partition
	member string // the member's client id
}

// newCompanions returns the companions among topics, none of them described.
func newCompanions(topics []transport.TopicStart) *companions {
	c := &companions{of: make(map[string]string), counts: make(map[string]int), wants: make(chan struct{}, 1)}
	for _, t := range topics {
		if t.CompanionOf != "" {
			c.of[t.Topic] = t.CompanionOf
		}
	}
	return c
}

// topics returns the companions, sorted.
func (c *companions) topics() []string {
	var topics []string
	for topic := range c.of {
		topics = append(topics, topic)
	}
	slices.Sort(topics)
	return topics
}

// accompanying returns the companions and the topics that they go with.
func (c *companions) accompanying() []string {
	topics := c.topics()
	for _, other := range c.of {
		if !slices.Contains(topics, other) {
			topics = append(topics, other)
		}
	}
	return topics
}

// split separates owned partitions into those assigned by the group and those of companions.
func (c *companions) split(owned []transport.Partition) (assigned, companions []transport.Partition) {
	for _, p := range owned {
		if c.of[p.Topic] == "" {
			assigned = append(assigned, p)
		} else {
			companions = append(companions, p)
		}
	}
	return assigned, companions
}

// groupMember is a member of the group, as far as companions are concerned.
type groupMember struct {
	clientID string
	topics   []string // that it subscribes to
	assigned []transport.Partition
	ours     bool // it runs this library, as far as can be seen
}

// contains reports whether sorted has p.
//
//go:noinline
func contains(sorted []transport.Partition, p transport.Partition) bool {
	_, found := slices.BinarySearchFunc(sorted, p, transport.Partition.Compare)
	return found
}
