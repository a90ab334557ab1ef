package balance

import (
	"encoding/binary"
	"maps"
	"slices"
	"sort"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/transport"
)

// Member is a member of a group, as it describes itself to the group's leader.
type Member struct {
	ID, instance string   // instance is empty unless the member is static (KIP-345)
	Topics       []string // those that it subscribes to
	owned        []transport.Partition
	generation   int32 // in which it owned them; −1 if unknown
	Types        Types // that it handles; empty if its subscription has none
}

// Balancer is a strategy by which a group's leader assigns partitions to the members.
type Balancer struct {
	Name string // in the group protocol and in kafka.Config.Balancer
	// Cooperative members keep what they own during a rebalance. A partition that moves
	// is revoked from its owner in one rebalance and assigned in the next.
	Cooperative bool
	// plan assigns every partition of a subscribed topic to one of the subscribers. Members
	// are sorted; partitions has the number of partitions by topic.
	plan func(members []Member, partitions map[string]int32) map[string][]transport.Partition
}

// ByName returns the balancer "range" or "roundrobin", or, for any other name,
// "cooperative-sticky".
func ByName(name string) *Balancer {
	switch name {
	case "range":
		return &Balancer{Name: name, plan: planRange}
	case "roundrobin":
		return &Balancer{Name: name, plan: planRoundRobin}
	}
	return &Balancer{Name: "cooperative-sticky", Cooperative: true, plan: planSticky}
}

// Metadata returns what a member sends to the leader: the subscription of Kafka's
// consumer protocol, in version 3 (KIP-792, KIP-881).
func (b *Balancer) Metadata(topics []string, owned []transport.Partition, generation int32, rack string, types *Types) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	// Version 1 adds the owned partitions (KIP-429), 2 the generation (KIP-792), 3 the rack
	// (KIP-881). Older readers skip what they don't know.
	m.Version = 3
	m.Topics = topics
	if rack != "" {
		m.Rack = &rack
	}
	// An eager member owns nothing while the group rebalances.
	m.Generation = -1
	if b.Cooperative {
		m.Generation = generation
	}
	// Java's assignor from before version 2 of the subscription reads the generation here.
	head := binary.BigEndian.AppendUint32(nil, uint32(m.Generation))
	if m.UserData = types.appendTo(head, topics); len(m.UserData) == len(head) && !b.Cooperative {
		m.UserData = nil
	}
	if b.Cooperative {
		for _, p := range owned {
			if n := len(m.OwnedPartitions); n == 0 || m.OwnedPartitions[n-1].Topic != p.Topic {
				m.OwnedPartitions = append(m.OwnedPartitions, kmsg.ConsumerMemberMetadataOwnedPartition{Topic: p.Topic})
			}
			last := &m.OwnedPartitions[len(m.OwnedPartitions)-1]
			last.Partitions = append(last.Partitions, p.Partition)
		}
	}
	return m.AppendTo(nil)
}

// ReadMember reads a member's subscription.
func ReadMember(m *kmsg.JoinGroupResponseMember) (Member, error) {
	member := Member{ID: m.MemberID, generation: -1}
	if m.InstanceID != nil {
		member.instance = *m.InstanceID
	}
	meta := kmsg.NewConsumerMemberMetadata()
	if err := meta.ReadFrom(m.ProtocolMetadata); err != nil {
		return member, err
	}
	member.Topics = meta.Topics
	switch {
	// If two members claim a partition, the generation shows which claim is out of date.
	case meta.Version >= 2 && meta.Generation >= 0:
		member.generation = meta.Generation
	case len(meta.UserData) >= 4:
		member.generation = int32(binary.BigEndian.Uint32(meta.UserData))
	}
	member.Types, _ = typesOf(&meta)
	for _, t := range meta.OwnedPartitions {
		for _, p := range t.Partitions {
			member.owned = append(member.owned, transport.Partition{Topic: t.Topic, Partition: p})
		}
	}
	return member, nil
}

// SubscribedTopics returns the topics of a member's subscription, none if it can't be read.
func SubscribedTopics(subscription []byte) []string {
	m := kmsg.NewConsumerMemberMetadata()
	if m.ReadFrom(subscription) != nil {
		return nil
	}
	return m.Topics
}

// Assign plans and, for cooperative members, withholds partitions that another member still
// owns.
func (b *Balancer) Assign(members []Member, partitions map[string]int32) map[string][]transport.Partition {
	// Static members first, by their lasting names, so that a plan does not depend on the
	// ids that the coordinator assigns.
	members = slices.Clone(members)
	sort.Slice(members, func(i, k int) bool {
		a, b := &members[i], &members[k]
		if a.instance != "" && b.instance != "" {
			return a.instance < b.instance
		}
		if (a.instance != "") != (b.instance != "") {
			return a.instance != ""
		}
		return a.ID < b.ID
	})
	// Plan as if everything could move at once, then withhold what still has an owner: that
	// member gives it up when it sees its share and joins again, and the next plan assigns
	// it (KIP-429).
	plan := b.plan(members, partitions)
	if !b.Cooperative {
		return plan
	}
	owners := ownersOf(members)
	for id, given := range plan {
		kept := given[:0]
		for _, p := range given {
			// A partition that two members claim goes to neither: both must give it up first.
			if claim, owned := owners[p]; !owned || !claim.shared && claim.member == id {
				kept = append(kept, p)
			}
		}
		plan[id] = kept
	}
	return plan
}

// ownership is a member's claim to own a partition.
type ownership struct {
	member     string
	generation int32
	// shared is set if another member claims the partition in the same generation:
	// neither keeps it.
	shared bool
}

// ownersOf returns the owner of each partition. Of contradicting claims, that of the latest
// generation counts.
func ownersOf(members []Member) map[transport.Partition]ownership {
	owners := make(map[transport.Partition]ownership)
	for i := range members {
		m := &members[i]
		for _, p := range m.owned {
			claim, claimed := owners[p]
			switch {
			// A member of an earlier generation missed a rebalance in which the partition may
			// have moved, so its claim doesn't count.
			case !claimed || m.generation > claim.generation:
				owners[p] = ownership{member: m.ID, generation: m.generation}
			case m.generation == claim.generation && claim.member != m.ID:
				claim.shared = true
				owners[p] = claim
			}
		}
	}
	return owners
}

// EncodeAssignment encodes a member's share in Kafka's consumer protocol, with the types that
// the group handles.
func EncodeAssignment(partitions []transport.Partition, types *Types) []byte {
	a := kmsg.NewConsumerMemberAssignment()
	a.Version = 1
	a.UserData = types.appendTo(nil, nil)
	transport.SortPartitions(partitions)
	for _, p := range partitions {
		if n := len(a.Topics); n == 0 || a.Topics[n-1].Topic != p.Topic {
			a.Topics = append(a.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: p.Topic})
		}
		last := &a.Topics[len(a.Topics)-1]
		last.Partitions = append(last.Partitions, p.Partition)
	}
	return a.AppendTo(nil)
}

// DecodeAssignment decodes a share. An empty one has no partitions.
func DecodeAssignment(b []byte) ([]transport.Partition, error) {
	if len(b) == 0 {
		return nil, nil
	}
	a := kmsg.NewConsumerMemberAssignment()
	if err := a.ReadFrom(b); err != nil {
		return nil, err
	}
	var partitions []transport.Partition
	for _, t := range a.Topics {
		for _, p := range t.Partitions {
			partitions = append(partitions, transport.Partition{Topic: t.Topic, Partition: p})
		}
	}
	transport.SortPartitions(partitions)
	// A leader of another library may name a partition twice.
	return slices.Compact(partitions), nil
}

// planRange assigns each member a contiguous range of each topic's partitions, the first
// members one more, as Kafka's range assignor does.
func planRange(members []Member, partitions map[string]int32) map[string][]transport.Partition {
	plan := make(map[string][]transport.Partition)
	for _, topic := range slices.Sorted(maps.Keys(partitions)) {
		var readers []string
		for i := range members {
			if slices.Contains(members[i].Topics, topic) {
				readers = append(readers, members[i].ID)
			}
		}
		if len(readers) == 0 {
			continue
		}
		// Contiguous, as in Java's assignor: a member has the same partitions of all topics
		// with equally many, which joins between topics rely on.
		each, more := int(partitions[topic])/len(readers), int(partitions[topic])%len(readers)
		next := int32(0)
		for i, id := range readers {
			n := each
			if i < more {
				n++
			}
			for range n {
				plan[id] = append(plan[id], transport.Partition{Topic: topic, Partition: next})
				next++
			}
		}
	}
	return plan
}

// planRoundRobin assigns all partitions in turn, as Kafka's round-robin assignor does.
func planRoundRobin(members []Member, partitions map[string]int32) map[string][]transport.Partition {
	plan := make(map[string][]transport.Partition)
	turn := 0
	for _, topic := range slices.Sorted(maps.Keys(partitions)) {
		reads := func(m Member) bool { return slices.Contains(m.Topics, topic) }
		if !slices.ContainsFunc(members, reads) {
			continue
		}
		for n := range partitions[topic] {
			// This terminates, since at least one member reads the topic.
			for !reads(members[turn%len(members)]) {
				turn++
			}
			id := members[turn%len(members)].ID
			plan[id] = append(plan[id], transport.Partition{Topic: topic, Partition: n})
			turn++
		}
	}
	return plan
}
