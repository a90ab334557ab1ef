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

// Stable waits until a group is stable, has the number of members, and its members own all
// partitions of the topic. It works for both group protocols. If ctx ends before, the error
// has the last state of the group.
func (c *Cluster) Stable(ctx context.Context, group, topic string, partitions int32, members int) error {
	for {
		g, err := c.describe(ctx, group, topic)
		// The state alone is not enough: a group can be stable with members that are about to be
		// expired, and by KIP-848 while members still give up partitions.
		if err == nil && g.state == "Stable" && g.members == members && g.owned == int(partitions) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("group %s is in state %q with %d of %d members, which own %d of %d partitions: %w",
				group, g.state, g.members, members, g.owned, partitions, errors.Join(err, ctx.Err()))
		case <-time.After(100 * time.Millisecond): // nothing signals the change
		}
	}
}

// groupState is the state of a group, as its coordinator describes it: the name of the state,
// the number of members, and how many partitions of one topic they own together.
type groupState struct {
	// state is Kafka's name of the state, such as Stable.
	state          string
	members, owned int
}

// describe returns the state of a group. The request for classic groups does not find those of
// the protocol of KIP-848, for which there is another request.
func (c *Cluster) describe(ctx context.Context, group, topic string) (s groupState, err error) {
	classic := kmsg.NewPtrDescribeGroupsRequest()
	classic.Groups = []string{group}
	response, err := classic.RequestWith(ctx, c.Client)
	if err != nil || len(response.Groups) != 1 {
		return s, err
	}
	// For a group of the other protocol, a coordinator answers with the state Dead or an error.
	if g := &response.Groups[0]; g.ErrorCode == 0 && g.State != "Dead" {
		s = groupState{state: g.State, members: len(g.Members)}
		for i := range g.Members {
			var a kmsg.ConsumerMemberAssignment
			// An assignment is empty until the member gets one: it owns nothing yet.
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

// Coordinator returns the id of the broker that coordinates a group. The request also makes
// the brokers create GroupsTopic if it does not exist.
func (c *Cluster) Coordinator(ctx context.Context, group string) (int32, error) {
	request := kmsg.NewPtrFindCoordinatorRequest()
	// Versions up to 3 of the request have one key, and later ones have a list (KIP-699). The
	// same holds for their answers.
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

// GroupsTopic is the topic in which Kafka stores groups. The coordinator of a group is the
// leader of its partition.
const GroupsTopic = "__consumer_offsets"

// MoveLeaders elects another leader for every partition of a topic. It returns the number of
// partitions that have one, and for the others why the cluster refused. Concurrent calls for
// one topic would choose the same leaders.
func (c *Cluster) MoveLeaders(ctx context.Context, topic string) (moved int, refused map[int32]error, err error) {
	meta := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = new(topic)
	meta.Topics = append(meta.Topics, t)
	response, err := meta.RequestWith(ctx, c.Client)
	if err != nil {
		return 0, nil, err
	}
	// A request can't name a leader. So the order of replicas is changed, and then the preferred
	// one, which is the first, is elected.
	move := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	order := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	order.Topic = topic
	elect := kmsg.NewPtrElectLeadersRequest()
	elect.ElectionType, elect.TimeoutMillis = 0, 10_000 // the preferred replica
	elected := kmsg.NewElectLeadersRequestTopic()
	elected.Topic = topic
	for _, p := range response.Topics[0].Partitions {
		// The replicas stay the same. The one after the current leader becomes the first.
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
	// The controller has accepted the new order. An election before would choose the old leaders.
	elect.Topics = append(elect.Topics, elected)
	elections, err := elect.RequestWith(ctx, c.Client)
	if err != nil {
		return 0, nil, err
	}
	refused = make(map[int32]error)
	for _, t := range elections.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				// The new leader may not be in sync, for example. Other partitions have moved even so.
				refused[p.Partition] = err
				continue
			}
			moved++
		}
	}
	return moved, refused, kerr.ErrorForCode(elections.ErrorCode)
}

// Committed returns the committed offset of a group for each partition of a topic, or 0 where
// nothing was committed. The index is the partition's number.
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
	// Versions from 8 on have groups (KIP-709), and earlier ones topics. The client converts the
	// answers of earlier ones to groups.
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
				// The offset is −1 if nothing was committed.
				offsets[p.Partition] = max(p.Offset, 0)
			}
		}
	}
	return offsets, nil
}
