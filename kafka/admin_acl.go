package kafka

import (
	"context"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
)

// Operation is something that a broker may allow on a topic, a group or the
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

// Rights are the operations that brokers allow this client, after all ACLs.
// Known is false where the broker doesn't tell (before Kafka 2.3).
type Rights struct {
	bits  int32
	Known bool
}

func rightsOf(bits int32) Rights {
	if bits == math.MinInt32 { // the field's value for "not told"
		return Rights{}
	}
	return Rights{bits, true}
}

// Allow tells whether an operation is among them.
func (r Rights) Allow(o Operation) bool { return r.bits&(1<<o) != 0 }

// TopicRights tells what this client may do with topics. Those that do not
// exist, or may not be described, are absent.
func (t *Transport) TopicRights(ctx context.Context, topics ...string) (map[string]Rights, error) {
	if t.err != nil {
		return nil, t.err
	}
	rights := make(map[string]Rights, len(topics))
	if len(topics) == 0 {
		return rights, nil
	}
	req := cluster.MetadataRequest(topics)
	req.IncludeTopicAuthorizedOperations = true
	answer, err := t.client.AnyBroker(ctx, req)
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

// GroupRights tells what this client may do with a group, which need not exist.
// An error that is transport.ErrUnauthorized says that it may do nothing.
func (t *Transport) GroupRights(ctx context.Context, group string) (Rights, error) {
	if t.err != nil {
		return Rights{}, t.err
	}
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups, req.IncludeAuthorizedOperations = []string{group}, true
	var rights Rights
	err := t.client.AskGroup(ctx, group, req, func(answer kmsg.Response) error {
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

// ClusterRights tells what this client may do with the cluster.
func (t *Transport) ClusterRights(ctx context.Context) (Rights, error) {
	if t.err != nil {
		return Rights{}, t.err
	}
	req := kmsg.NewPtrDescribeClusterRequest()
	req.IncludeClusterAuthorizedOperations = true
	answer, err := t.client.AnyBroker(ctx, req)
	if err != nil {
		return Rights{}, fmt.Errorf("kafka: rights on the cluster: %w", err)
	}
	resp := answer.(*kmsg.DescribeClusterResponse)
	return rightsOf(resp.ClusterAuthorizedOperations), kerr.CodeError(resp.ErrorCode)
}
