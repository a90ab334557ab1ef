package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/transport"
)

// ErrGroupBusy says that a group has members, which would not notice that it was
// moved, and move it back with their next commit.
var ErrGroupBusy = errors.New("the group has members: stop them first")

// ResetGroup commits offsets for a group, so that its members go on there when
// they join next. Epochs of assignments play no part. The error is ErrGroupBusy while there are
// any: the broker itself refuses then, also members that came meanwhile. A group
// that did not exist does then.
//
// The commit is one request: brokers take all of it or refuse all, but for
// partitions that are not there.
func (t *Transport) ResetGroup(ctx context.Context, group string, commits ...transport.Commit) error {
	if t.err != nil {
		return t.err
	}
	if len(commits) == 0 {
		return nil
	}
	req := storeRequest(group, commits)
	err := t.client.persist(ctx, func() error {
		coordinator, err := t.client.coordinator(ctx, group)
		if err != nil {
			return err
		}
		if err = t.client.commitReset(ctx, coordinator, req); err != nil {
			t.client.forgetCoordinator(group)
		}
		return err
	})
	if errors.Is(err, transport.ErrFenced) {
		err = fmt.Errorf("%w (%w)", ErrGroupBusy, err)
	}
	if err != nil {
		return fmt.Errorf("kafka: resetting group %q: %w", group, err)
	}
	return nil
}

func (c *client) commitReset(ctx context.Context, coordinator int32, req *kmsg.OffsetCommitRequest) error {
	answer, err := c.request(ctx, coordinator, req)
	if err != nil {
		return err
	}
	return storedBy(answer.(*kmsg.OffsetCommitResponse))
}

// storedBy is the first refusal in a coordinator's response.
func storedBy(resp *kmsg.OffsetCommitResponse) error {
	for _, topic := range resp.Topics {
		for _, part := range topic.Partitions {
			if part.ErrorCode != 0 {
				return fmt.Errorf("%s: %w", transport.Partition{Topic: topic.Topic, Partition: part.Partition}, Error(part.ErrorCode))
			}
		}
	}
	return nil
}

// storeRequest stores offsets for a group without members.
func storeRequest(group string, commits []transport.Commit) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = group, -1 // not of a member
	topics := make(map[string]int)
	for i := range commits {
		p := commits[i].Partition
		at, ok := topics[p.Topic]
		if !ok {
			at = len(req.Topics)
			topics[p.Topic] = at
			topic := kmsg.NewOffsetCommitRequestTopic()
			topic.Topic = p.Topic
			req.Topics = append(req.Topics, topic)
		}
		part := kmsg.NewOffsetCommitRequestTopicPartition()
		part.Partition, part.Offset, part.LeaderEpoch = p.Partition, commits[i].Offset, commits[i].LeaderEpoch
		part.Metadata = &commits[i].Metadata
		req.Topics[at].Partitions = append(req.Topics[at].Partitions, part)
	}
	return req
}
