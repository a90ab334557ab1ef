package group

import (
	"slices"

	"github.com/eventbus-go/eventbus/transport"
)

// companions are the topics that the member reads and the group does not spread:
// each partition goes with one of another topic (transport.TopicStart.CompanionOf).
// So the group's leader, of whatever library, has nothing to weigh but what all
// members share.
//
// No protocol shows the members who reads a companion, so the member finds out
// by itself: it owns what goes with its partitions, once the coordinator's
// description of the group shows that no member subscribes to the companion. Older
// versions of this library did; beside one of them the companion is that member's.
type companions struct {
	of    map[string]string // the topic that each companion goes with, by companion
	wants chan struct{}     // the group is to be described

	counts map[string]int // partitions, as watchTopics saw them last; its alone

	// What follows is guarded by membership.mu.

	assigned []transport.Partition // by the group; nil before it has assigned anything
	// version counts the group's assignments, described is that of the last
	// description: one from before an assignment does not say who is in the group now.
	version, described int
	subscribed         map[string]bool // companions to which a member subscribes
	changed            bool            // run should align what is owned
	orphans            []orphan        // when the group was last described
	unread             []transport.UnreadPartition
}

// orphan is a partition of a companion that goes with one of a member that does not
// read companions.
type orphan struct {
	transport.Partition
	member string // its client id
}

// newCompanions returns the companions among topics, none of them described yet.
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

// split separates owned partitions into those that the group assigned and those of
// companions.
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

// groupMember is another member, or this one, as far as companions are concerned.
type groupMember struct {
	clientID string
	topics   []string // to which it subscribes
	assigned []transport.Partition
	ours     bool // it runs this library, as far as that shows
}

// contains reports whether sorted has p.
//
//go:noinline
func contains(sorted []transport.Partition, p transport.Partition) bool {
	_, found := slices.BinarySearchFunc(sorted, p, transport.Partition.Compare)
	return found
}
