package kafka

import (
	"context"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// Operation is a kind of access that an ACL allows on a topic, a group or the
// cluster.
type Operation int8

// The operations, by their numbers in the Kafka protocol (KIP-430).
const (
	OperationRead            Operation = 3
	OperationWrite           Operation = 4
	OperationCreate          Operation = 5
	OperationDescribe        Operation = 8
	OperationIdempotentWrite Operation = 12
)

// Rights is the set of operations that brokers allow this client, after all ACLs.
// The zero value allows nothing and is not Known.
type Rights struct {
	bits int32 // 1<<operation for each
	// Known is false if the broker did not say: it is old, or this client lacks the right to
	// Describe.
	Known bool
}

func rightsOf(bits int32) Rights {
	if bits == math.MinInt32 { // the protocol's value for "not included"
		return Rights{}
	}
	return Rights{bits, true}
}

// Allow reports whether o is among the operations. It returns false if r is not Known.
func (r Rights) Allow(o Operation) bool { return r.bits&(1<<o) != 0 }

// TopicRights returns the operations that this client may use on topics. Topics that do not
// exist, or that this client may not describe, are absent from the result.
func (a *Admin) TopicRights(ctx context.Context, topics ...string) (map[string]Rights, error) {
	if a.err != nil {
		return nil, a.err
	}
	rights := make(map[string]Rights, len(topics))
	if len(topics) == 0 {
		return rights, nil
	}
	req := cluster.MetadataRequest(topics)
	req.IncludeTopicAuthorizedOperations = true
	answer, err := a.client.AnyBroker(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("kafka: rights on topics: %w", err)
	}
	for _, topic := range answer.(*kmsg.MetadataResponse).Topics {
		if topic.ErrorCode == 0 && topic.Topic != nil {
			rights[*topic.Topic] = rightsOf(topic.AuthorizedOperations)
		}
	}
	return rights, nil
}

// GroupRights returns the operations that this client may use on a group, which need not exist.
// transport.ErrUnauthorized means that it may not even describe the group.
func (a *Admin) GroupRights(ctx context.Context, group string) (Rights, error) {
	if a.err != nil {
		return Rights{}, a.err
	}
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups, req.IncludeAuthorizedOperations = []string{group}, true
	var rights Rights
	err := a.client.AskGroup(ctx, group, cluster.Rare(req, (*kmsg.DescribeGroupsRequest).AppendTo, (*kmsg.DescribeGroupsResponse).ReadFrom), func(answer kmsg.Response) error {
		for _, g := range answer.(*kmsg.DescribeGroupsResponse).Groups {
			if code := kerr.Error(g.ErrorCode); code != 0 && code != kerr.GroupIDNotFound {
				return code
			}
			if g.ErrorCode == 0 {
				rights = rightsOf(g.AuthorizedOperations)
			}
		}
		return nil
	})
	if err != nil {
		return Rights{}, fmt.Errorf("kafka: rights on group %q: %w", group, err)
	}
	return rights, nil
}

// ClusterRights returns the operations that this client may use on the cluster
// itself, such as creating topics.
func (a *Admin) ClusterRights(ctx context.Context) (Rights, error) {
	if a.err != nil {
		return Rights{}, a.err
	}
	req := kmsg.NewPtrDescribeClusterRequest()
	req.IncludeClusterAuthorizedOperations = true
	answer, err := a.client.AnyBroker(ctx, cluster.Rare(req, (*kmsg.DescribeClusterRequest).AppendTo, (*kmsg.DescribeClusterResponse).ReadFrom))
	if err != nil {
		return Rights{}, fmt.Errorf("kafka: rights on the cluster: %w", err)
	}
	resp := answer.(*kmsg.DescribeClusterResponse)
	return rightsOf(resp.ClusterAuthorizedOperations), kerr.CodeError(resp.ErrorCode)
}
