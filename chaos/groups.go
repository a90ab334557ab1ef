package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// stable waits until a group has this many members and every partition of the
// topic an owner.
func (c *cluster) stable(ctx context.Context, topic contract, members int) error {
	request := kmsg.NewPtrDescribeGroupsRequest()
	request.Groups = []string{topic.group()}
	for {
		var state string
		var there, owned int
		response, err := request.RequestWith(ctx, c.client)
		if err == nil && len(response.Groups) == 1 {
			g := &response.Groups[0]
			state, there, owned = g.State, len(g.Members), ownedOf(g, topic.topic())
			if state == "Stable" && there == members && owned == int(topic.Partitions) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("group %s is %q, has %d members of %d, and they %d partitions: %w",
				topic.group(), state, there, members, owned, errors.Join(err, ctx.Err()))
		case <-time.After(100 * time.Millisecond): // nothing tells when it is
		}
	}
}

// ownedOf returns how many partitions of a topic the members of a group own.
func ownedOf(g *kmsg.DescribeGroupsResponseGroup, topic string) (n int) {
	for i := range g.Members {
		var a kmsg.ConsumerMemberAssignment
		if a.ReadFrom(g.Members[i].MemberAssignment) != nil {
			continue
		}
		for _, t := range a.Topics {
			if t.Topic == topic {
				n += len(t.Partitions)
			}
		}
	}
	return n
}

// coordinator returns the broker that coordinates a group.
func (c *cluster) coordinator(ctx context.Context, group string) (int32, error) {
	request := kmsg.NewPtrFindCoordinatorRequest()
	request.CoordinatorKey, request.CoordinatorKeys = group, []string{group}
	response, err := request.RequestWith(ctx, c.client)
	switch {
	case err != nil:
		return 0, err
	case len(response.Coordinators) > 0:
		return response.Coordinators[0].NodeID, kerr.ErrorForCode(response.Coordinators[0].ErrorCode)
	}
	return response.NodeID, kerr.ErrorForCode(response.ErrorCode)
}

// groupsTopic is where Kafka keeps groups: the leader of the partition that has
// a group is its coordinator.
const groupsTopic = "__consumer_offsets"

// moveLeaders gives every partition of a topic another leader. It returns how
// many have one afterwards, and for the other partitions why the cluster
// refused.
func (c *cluster) moveLeaders(ctx context.Context, topic string) (moved int, refused map[int32]error, err error) {
	meta := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = new(topic)
	meta.Topics = append(meta.Topics, t)
	response, err := meta.RequestWith(ctx, c.client)
	if err != nil {
		return 0, nil, err
	}
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
	if response, err := move.RequestWith(ctx, c.client); err != nil {
		return 0, nil, err
	} else if response.ErrorCode != 0 {
		return 0, nil, kerr.ErrorForCode(response.ErrorCode)
	}
	elect.Topics = append(elect.Topics, elected)
	elections, err := elect.RequestWith(ctx, c.client)
	if err != nil {
		return 0, nil, err
	}
	refused = make(map[int32]error)
	for _, t := range elections.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				refused[p.Partition] = err
				continue
			}
			moved++
		}
	}
	return moved, refused, kerr.ErrorForCode(elections.ErrorCode)
}

// committed returns the committed offset of a group in each partition of a
// topic, 0 without one.
func (c *cluster) committed(ctx context.Context, group, topic string, partitions int32) ([]int64, error) {
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
	request.Topics, request.Groups = append(request.Topics, t), append(request.Groups, g)
	response, err := request.RequestWith(ctx, c.client)
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
				offsets[p.Partition] = max(p.Offset, 0)
			}
		}
	}
	return offsets, nil
}
