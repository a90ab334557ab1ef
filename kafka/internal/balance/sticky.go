package balance

import (
	"maps"
	"slices"
	"sort"

	"github.com/eventbus-go/eventbus/transport"
)

// planSticky leaves partitions where they are, as long as the loads of members that could
// exchange partitions differ by at most one (KIP-54, KIP-429).
//
// Partitions without an owner go to the least loaded subscriber. Then, while some member
// has at least two partitions more than another, one moves from the first to the second:
// directly, if the second reads a topic of which the first has partitions, otherwise
// along a chain of members that each pass one on. Every move brings the loads closer, so
// this ends; and once no chain is left, no loads can be brought closer.
//
// Loads count partitions, whatever is in them. So that one member does not get a busy
// topic and another an idle one, the partitions of each topic are spread too, by swaps
// that keep the loads.
//
// Members and topics are numbered, so that a step costs the scan of an array: a leader
// plans a thousand topics for a hundred members while all of them wait.
func planSticky(members []Member, partitions map[string]int32) map[string][]transport.Partition {
	s := newStickyPlan(members, partitions)
	// In this order: keeping costs nothing, while levelling and spreading move partitions.
	s.keepOwned(members)
	s.giveRest()
	s.level()
	s.spread()
	plan := make(map[string][]transport.Partition, len(s.members))
	for _, m := range s.members {
		for t, has := range m.has {
			for _, n := range has {
				plan[m.id] = append(plan[m.id], transport.Partition{Topic: s.topics[t], Partition: n})
			}
		}
	}
	return plan
}

// stickyPlan is a plan under construction. Topics are numbered in the order of their names.
type stickyPlan struct {
	topics  []string
	counts  []int32 // partitions, by topic
	numbers map[string]int
	members []*stickyMember
	readers [][]*stickyMember // by topic
	given   [][]bool          // by topic and partition
}

// stickyMember is a member and its partitions in the plan. Its slices are indexed by the
// topic's number.
type stickyMember struct {
	id    string
	reads []bool    // by topic
	has   [][]int32 // partitions by topic; what it owned before comes first
	load  int
}

// newStickyPlan numbers topics and members. Nothing is assigned yet.
func newStickyPlan(members []Member, partitions map[string]int32) *stickyPlan {
	s := &stickyPlan{topics: slices.Sorted(maps.Keys(partitions)), numbers: make(map[string]int, len(partitions))}
	s.readers = make([][]*stickyMember, len(s.topics))
	for t, topic := range s.topics {
		s.numbers[topic] = t
		s.counts = append(s.counts, partitions[topic])
		s.given = append(s.given, make([]bool, partitions[topic]))
	}
	for i := range members {
		m := &stickyMember{id: members[i].ID, reads: make([]bool, len(s.topics)), has: make([][]int32, len(s.topics))}
		s.members = append(s.members, m)
		for _, topic := range members[i].Topics {
			if t, ok := s.numbers[topic]; ok && s.counts[t] > 0 && !m.reads[t] {
				m.reads[t] = true
				s.readers[t] = append(s.readers[t], m)
			}
		}
	}
	return s
}

// add gives the member a partition.
func (m *stickyMember) add(topic int, partition int32) {
	m.has[topic] = append(m.has[topic], partition)
	m.load++
}

// take removes the last partition of a topic from the member.
func (m *stickyMember) take(topic int) int32 {
	all := m.has[topic]
	m.has[topic] = all[:len(all)-1]
	m.load--
	return all[len(all)-1]
}

// keepOwned assigns every existing partition to its owner, if that still reads the topic.
func (s *stickyPlan) keepOwned(members []Member) {
	byID := make(map[string]*stickyMember, len(s.members))
	for _, m := range s.members {
		byID[m.id] = m
	}
	owners := ownersOf(members)
	owned := slices.Collect(maps.Keys(owners))
	transport.SortPartitions(owned)
	for _, p := range owned {
		// In the order of partitions, so that the plan does not depend on map order.
		claim := owners[p]
		t, known := s.numbers[p.Topic]
		if m := byID[claim.member]; known && !claim.shared && m.reads[t] && p.Partition >= 0 && p.Partition < s.counts[t] {
			m.add(t, p.Partition)
			s.given[t][p.Partition] = true
		}
	}
}

// giveRest assigns partitions without an owner to the least loaded readers, starting with
// the topics that have the fewest readers.
func (s *stickyPlan) giveRest() {
	scarceFirst := make([]int, len(s.topics))
	for t := range scarceFirst {
		scarceFirst[t] = t
	}
	// Not slices.SortStableFunc: a program links several kB of it for each type.
	sort.SliceStable(scarceFirst, func(i, k int) bool { return len(s.readers[scarceFirst[i]]) < len(s.readers[scarceFirst[k]]) })
	for _, t := range scarceFirst {
		for n, given := range s.given[t] {
			if m := leastLoaded(s.readers[t]); m != nil && !given {
				m.add(t, int32(n))
			}
		}
	}
}

// leastLoaded returns the first of the readers with the smallest load, nil if there are none.
func leastLoaded(readers []*stickyMember) (least *stickyMember) {
	for _, m := range readers {
		if least == nil || m.load < least.load {
			least = m
		}
	}
	return least
}

// level moves partitions until no member has two more than another that could take one from
// it.
func (s *stickyPlan) level() {
	for {
		slices.SortStableFunc(s.members, func(a, b *stickyMember) int { return b.load - a.load })
		if !slices.ContainsFunc(s.members, s.relieve) && !slices.ContainsFunc(s.members, s.relieveByChain) {
			return
		}
	}
}

// relieve moves one partition from a member to the least loaded member that reads one of its
// topics, and reports whether it did. Moving more at once could take the member below the
// average, and others would have to give some back. Members are sorted by load, the largest
// first.
func (s *stickyPlan) relieve(from *stickyMember) bool {
	for _, to := range slices.Backward(s.members) {
		// All others have at least as much.
		if to.load > from.load-2 {
			return false
		}
		if t := from.mostBeyond(to); t >= 0 {
			to.add(t, from.take(t))
			return true
		}
	}
	return false
}

// hop records how a chain reached a member: from which member, by which topic.
type hop struct {
	from  *stickyMember
	topic int
}

// relieveByChain moves one partition away from a member along the shortest chain to a member
// with at least two fewer, and reports whether it did.
func (s *stickyPlan) relieveByChain(from *stickyMember) bool {
	if s.members[len(s.members)-1].load > from.load-2 {
		return false // nobody has that few
	}
	// A breadth-first search finds the shortest chain.
	came := map[*stickyMember]hop{from: {}}
	tried := make([]bool, len(s.topics)) // topics whose readers are all in came
	for reach := []*stickyMember{from}; len(reach) > 0; {
		var next []*stickyMember
		var best *stickyMember
		for _, m := range reach {
			for t, has := range m.has {
				if len(has) == 0 || tried[t] {
					continue
				}
				tried[t] = true
				for _, reader := range s.readers[t] {
					if _, seen := came[reader]; seen {
						continue
					}
					came[reader] = hop{m, t}
					next = append(next, reader)
					if reader.load <= from.load-2 && (best == nil || reader.load < best.load) {
						best = reader
					}
				}
			}
		}
		// Go back along the chain: each member takes one from its predecessor, so only the
		// loads of the two ends change.
		if best != nil {
			for m := best; m != from; m = came[m].from {
				m.add(came[m].topic, came[m].from.take(came[m].topic))
			}
			return true
		}
		reach = next
	}
	return false
}

// mostBeyond returns the topic for which m exceeds another reader by most partitions, or −1
// if the other reads none of m's topics.
func (m *stickyMember) mostBeyond(other *stickyMember) int {
	topic, most := -1, 0
	for t, has := range m.has {
		if len(has) == 0 || !other.reads[t] {
			continue
		}
		if beyond := len(has) - len(other.has[t]); topic < 0 || beyond > most {
			topic, most = t, beyond
		}
	}
	return topic
}

// spread swaps partitions of different topics between members, as long as one has at least
// two more partitions of a topic than another. Each swap reduces the sum of the squares of
// the counts, so this ends; once all is spread it swaps nothing, so it disturbs a group only
// once.
func (s *stickyPlan) spread() {
	for swapped := true; swapped; {
		swapped = false
		for t := range s.topics {
			for s.swap(t) {
				swapped = true
			}
		}
	}
}

// swap makes one swap for a topic, and reports whether it did.
func (s *stickyPlan) swap(topic int) bool {
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
		return false
	}
	other := least.mostBeyond(most)
	if other < 0 || len(least.has[other]) <= len(most.has[other]) {
		return false
	}
	least.add(topic, most.take(topic))
	most.add(other, least.take(other))
	return true
}
