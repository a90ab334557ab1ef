package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Stable waits until a group has this many members and every partition of the
// topic an owner, under either group protocol.
func (c *Cluster) Stable(ctx context.Context, group, topic string, partitions int32, members int) error {
	for {
		g, err := c.describe(ctx, group, topic)
		// All three: a group is stable for a moment with members that are about to be expired, and
		// under KIP-848 while members still give partitions up.
		if err == nil && g.state == "Stable" && g.members == members && g.owned == int(partitions) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("group %s is %q, has %d members of %d, and they %d partitions: %w",
				group, g.state, g.members, members, g.owned, errors.Join(err, ctx.Err()))
		case <-time.After(100 * time.Millisecond): // nothing tells when it is
		}
	}
}

// groupState is what the coordinator says of a group: its state, how many
// members it has, and how many partitions of one topic they own together.
type groupState struct {
	// state is Kafka's word, such as Stable.
	state          string
	members, owned int
}

// describe asks for a group's state. A group of the protocol of KIP-848 is
// unknown to the request for classic ones, and has one of its own.
func (c *Cluster) describe(ctx context.Context, group, topic string) (s groupState, err error) {
	classic := kmsg.NewPtrDescribeGroupsRequest()
	classic.Groups = []string{group}
	response, err := classic.RequestWith(ctx, c.Client)
	if err != nil || len(response.Groups) != 1 {
		return s, err
	}
	// A coordinator answers the classic request with the state Dead, or with an error, for a
	// group that it does not have under that protocol.
	if g := &response.Groups[0]; g.ErrorCode == 0 && g.State != "Dead" {
		s = groupState{state: g.State, members: len(g.Members)}
		for i := range g.Members {
			var a kmsg.ConsumerMemberAssignment
			// Empty until the member has been given its assignment: it owns nothing yet.
			if a.ReadFrom(g.Members[i].MemberAssignment) != nil {
				continue
			}
			for _, t := range a.Topics {
				if t.Topic == topic {
					s.owned += len(t.Partitions)
				}
			}
		}
		return s, nil
	}
	request := kmsg.NewPtrConsumerGroupDescribeRequest()
	request.Groups = []string{group}
	answer, err := request.RequestWith(ctx, c.Client)
	if err != nil || len(answer.Groups) != 1 {
		return s, err
	}
	g := &answer.Groups[0]
	s = groupState{state: g.State, members: len(g.Members)}
	for i := range g.Members {
		for _, t := range g.Members[i].Assignment.TopicPartitions {
			if t.Topic == topic {
				s.owned += len(t.Partitions)
			}
		}
	}
	return s, kerr.ErrorForCode(g.ErrorCode)
}

// Coordinator returns the broker that coordinates a group.
// Asking makes the brokers create GroupsTopic if there is none.
func (c *Cluster) Coordinator(ctx context.Context, group string) (int32, error) {
	request := kmsg.NewPtrFindCoordinatorRequest()
	// Versions up to 3 have one key, later ones a list (KIP-699), and so do their answers.
	request.CoordinatorKey, request.CoordinatorKeys = group, []string{group}
	response, err := request.RequestWith(ctx, c.Client)
	switch {
	case err != nil:
		return 0, err
	case len(response.Coordinators) > 0:
		return response.Coordinators[0].NodeID, kerr.ErrorForCode(response.Coordinators[0].ErrorCode)
	}
	return response.NodeID, kerr.ErrorForCode(response.ErrorCode)
}

// GroupsTopic is where Kafka keeps groups: the leader of the partition that has
// a group is its coordinator.
const GroupsTopic = "__consumer_offsets"

// MoveLeaders gives every partition of a topic another leader. It returns how
// many have one afterwards, and for the other partitions why the cluster
// refused.
// Two calls at the same time would choose the same leaders.
func (c *Cluster) MoveLeaders(ctx context.Context, topic string) (moved int, refused map[int32]error, err error) {
	meta := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = new(topic)
	meta.Topics = append(meta.Topics, t)
	response, err := meta.RequestWith(ctx, c.Client)
	if err != nil {
		return 0, nil, err
	}
	// Leaders can't be named directly: the order of replicas is changed, and then the preferred
	// one, which is the first, is elected.
	move := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	order := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	order.Topic = topic
	elect := kmsg.NewPtrElectLeadersRequest()
	elect.ElectionType, elect.TimeoutMillis = 0, 10_000 // the preferred replica
	elected := kmsg.NewElectLeadersRequestTopic()
	elected.Topic = topic
	for _, p := range response.Topics[0].Partitions {
		// The same replicas, another first: the preferred leader.
		first := (slices.Index(p.Replicas, p.Leader) + 1) % len(p.Replicas)
		one := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		one.Partition = p.Partition
		one.Replicas = append(slices.Clone(p.Replicas[first:]), p.Replicas[:first]...)
		order.Partitions = append(order.Partitions, one)
		elected.Partitions = append(elected.Partitions, p.Partition)
	}
	move.Topics, move.TimeoutMillis = append(move.Topics, order), 10_000
	if response, err := move.RequestWith(ctx, c.Client); err != nil {
		return 0, nil, err
	} else if response.ErrorCode != 0 {
		return 0, nil, kerr.ErrorForCode(response.ErrorCode)
	}
	// An election before the new order is known would choose the old leaders again.
	elect.Topics = append(elect.Topics, elected)
	elections, err := elect.RequestWith(ctx, c.Client)
	if err != nil {
		return 0, nil, err
	}
	refused = make(map[int32]error)
	for _, t := range elections.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				// Such as a replica that is not in sync. The others have moved all the same.
				refused[p.Partition] = err
				continue
			}
			moved++
		}
	}
	return moved, refused, kerr.ErrorForCode(elections.ErrorCode)
}

// Committed returns the committed offset of a group in each partition of a
// topic, 0 without one.
// The index is the partition's number.
func (c *Cluster) Committed(ctx context.Context, group, topic string, partitions int32) ([]int64, error) {
	request := kmsg.NewPtrOffsetFetchRequest()
	request.Group = group
	t := kmsg.NewOffsetFetchRequestTopic()
	t.Topic = topic
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	of := kmsg.NewOffsetFetchRequestGroupTopic()
	of.Topic = topic
	for p := range partitions {
		t.Partitions = append(t.Partitions, p)
		of.Partitions = append(of.Partitions, p)
	}
	g.Topics = append(g.Topics, of)
	// Both forms again: versions from 8 on have groups (KIP-709).
	request.Topics, request.Groups = append(request.Topics, t), append(request.Groups, g)
	response, err := request.RequestWith(ctx, c.Client)
	if err != nil {
		return nil, err
	}
	offsets := make([]int64, partitions)
	for _, g := range response.Groups {
		if g.ErrorCode != 0 {
			return nil, kerr.ErrorForCode(g.ErrorCode)
		}
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				// Kafka answers −1 where nothing was committed.
				offsets[p.Partition] = max(p.Offset, 0)
			}
		}
	}
	return offsets, nil
}
