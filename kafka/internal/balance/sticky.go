package balance

import (
	"maps"
	"slices"

	"github.com/eventbus-go/eventbus/transport"
)

// planSticky leaves partitions where they are as far as the members' loads then
// differ by no more than one where they can (KIP-54, KIP-429).
//
// What nobody owns goes to the least loaded subscriber. Then, for as long as
// some member has at least two partitions more than another, one moves from the
// one to the other: straight, if the other reads a topic that the one has
// partitions of, or else along a chain of members that each pass one on. Every
// such move brings the loads closer, so it ends; and when no chain is left, none
// can be brought closer.
//
// Loads count partitions, and not what is in them. So that no member gets the
// busy topic and another the idle one beside it, a topic's own partitions are
// spread as well, by swaps that leave the loads as they are.
func planSticky(members []GroupMember, partitions map[string]int32) map[string][]transport.Partition {
	s := newStickyPlan(members, partitions)
	s.keepOwned(members, partitions)
	for _, topic := range s.scarceFirst(partitions) {
		for n := range partitions[topic] {
			p := transport.Partition{Topic: topic, Partition: n}
			if _, given := s.given[p]; !given {
				if m := s.leastLoaded(topic); m != nil {
					m.add(p)
				}
			}
		}
	}
	for s.level() {
	}
	for s.spread() {
	}
	plan := make(map[string][]transport.Partition, len(s.members))
	for _, m := range s.members {
		for _, topic := range slices.Sorted(maps.Keys(m.has)) {
			plan[m.id] = append(plan[m.id], m.has[topic]...)
		}
	}
	return plan
}

// stickyPlan is a plan in the making.
type stickyPlan struct {
	members []*stickyMember
	readers map[string][]*stickyMember // by topic
	given   map[transport.Partition]struct{}
}

type stickyMember struct {
	id    string
	reads map[string]bool
	has   map[string][]transport.Partition // by topic; what it owned before comes first
	load  int
}

func newStickyPlan(members []GroupMember, partitions map[string]int32) *stickyPlan {
	s := &stickyPlan{readers: make(map[string][]*stickyMember), given: make(map[transport.Partition]struct{})}
	for i := range members {
		m := &stickyMember{id: members[i].ID, reads: make(map[string]bool), has: make(map[string][]transport.Partition)}
		s.members = append(s.members, m)
		for _, topic := range members[i].Topics {
			if partitions[topic] > 0 && !m.reads[topic] {
				m.reads[topic] = true
				s.readers[topic] = append(s.readers[topic], m)
			}
		}
	}
	return s
}

func (m *stickyMember) add(p transport.Partition) {
	m.has[p.Topic] = append(m.has[p.Topic], p)
	m.load++
}

// take gives one partition of a topic up, the one that came last.
func (m *stickyMember) take(topic string) transport.Partition {
	all := m.has[topic]
	p := all[len(all)-1]
	if m.has[topic] = all[:len(all)-1]; len(all) == 1 {
		delete(m.has, topic)
	}
	m.load--
	return p
}

// keepOwned gives every partition that exists to its owner, if that still reads
// its topic.
func (s *stickyPlan) keepOwned(members []GroupMember, partitions map[string]int32) {
	byID := make(map[string]*stickyMember)
	for _, m := range s.members {
		byID[m.id] = m
	}
	owners := ownersOf(members)
	for _, p := range slices.SortedFunc(maps.Keys(owners), transport.Partition.Compare) {
		claim := owners[p]
		m := byID[claim.member]
		if !claim.shared && m.reads[p.Topic] && p.Partition >= 0 && p.Partition < partitions[p.Topic] {
			m.add(p)
			s.given[p] = struct{}{}
		}
	}
}

// scarceFirst are the topics, those with few readers first.
func (s *stickyPlan) scarceFirst(partitions map[string]int32) []string {
	topics := slices.Sorted(maps.Keys(partitions))
	slices.SortStableFunc(topics, func(a, b string) int { return len(s.readers[a]) - len(s.readers[b]) })
	return topics
}

func (s *stickyPlan) leastLoaded(topic string) (least *stickyMember) {
	for _, m := range s.readers[topic] {
		if least == nil || m.load < least.load {
			least = m
		}
	}
	return least
}

// level moves one partition from the most loaded member that it can move one
// from, and tells whether there was one.
func (s *stickyPlan) level() bool {
	slices.SortStableFunc(s.members, func(a, b *stickyMember) int { return b.load - a.load })
	return slices.ContainsFunc(s.members, s.relieve)
}

// hop is how a chain comes to a member: from another, by a topic.
type hop struct {
	from  *stickyMember
	topic string
}

// relieve moves one partition away from a member, along the shortest chain to a
// member that has at least two less, and tells whether there was one.
func (s *stickyPlan) relieve(from *stickyMember) bool {
	came := map[*stickyMember]hop{from: {}}
	tried := make(map[string]bool) // topics whose readers are all in came
	for reach := []*stickyMember{from}; len(reach) > 0; {
		var next []*stickyMember
		var best *stickyMember
		for _, m := range reach {
			for _, topic := range slices.Sorted(maps.Keys(m.has)) {
				if tried[topic] {
					continue
				}
				tried[topic] = true
				for _, reader := range s.readers[topic] {
					if _, seen := came[reader]; seen {
						continue
					}
					came[reader] = hop{m, topic}
					next = append(next, reader)
					if reader.load <= from.load-2 && (best == nil || reader.load < best.load) {
						best = reader
					}
				}
			}
		}
		if best != nil && came[best].from == from {
			best.add(from.take(from.mostBeyond(best)))
			return true
		}
		if best != nil {
			for m := best; m != from; m = came[m].from {
				m.add(came[m].from.take(came[m].topic))
			}
			return true
		}
		reach = next
	}
	return false
}

// mostBeyond is the topic that m has most partitions of beyond what another
// reader of it has.
func (m *stickyMember) mostBeyond(other *stickyMember) (topic string) {
	most := 0
	for _, t := range slices.Sorted(maps.Keys(m.has)) {
		if beyond := len(m.has[t]) - len(other.has[t]); other.reads[t] && (topic == "" || beyond > most) {
			topic, most = t, beyond
		}
	}
	return topic
}

// spread swaps a partition of a topic that one member has at least two more of
// than another for one of a topic of which it has fewer, and tells whether there
// were such. Each swap brings the squares of the counts down, so it ends; and
// where all is spread nothing is swapped, so it disturbs a group but once.
func (s *stickyPlan) spread() bool {
	for _, topic := range slices.Sorted(maps.Keys(s.readers)) {
		var most, least *stickyMember
		for _, m := range s.readers[topic] {
			if most == nil || len(m.has[topic]) > len(most.has[topic]) {
				most = m
			}
			if least == nil || len(m.has[topic]) < len(least.has[topic]) {
				least = m
			}
		}
		if most == nil || len(most.has[topic]) < len(least.has[topic])+2 {
			continue
		}
		other := least.mostBeyond(most)
		if other != "" && len(least.has[other]) > len(most.has[other]) {
			least.add(most.take(topic))
			most.add(least.take(other))
			return true
		}
	}
	return false
}
