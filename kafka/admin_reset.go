package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
	commits, err := t.marked(ctx, group, commits)
	if err == nil {
		err = t.client.askGroup(ctx, group, storeRequest(group, commits), storedBy)
	}
	if errors.Is(err, transport.ErrFenced) {
		err = fmt.Errorf("%w (%w)", ErrGroupBusy, err)
	}
	if err != nil {
		return fmt.Errorf("kafka: resetting group %q: %w", group, err)
	}
	return nil
}

// marked are commits with the marks that the group's members look for: of topics
// that were created anew, they take no offset without one.
func (t *Transport) marked(ctx context.Context, group string, commits []transport.Commit) ([]transport.Commit, error) {
	var stored map[transport.Partition]transport.Commit
	err := t.client.persist(ctx, func() (err error) {
		stored, err = (&admin{client: t.client}).committed(ctx, group, nil)
		return err
	})
	marks := unmarkAll(stored)
	if err != nil || len(marks) == 0 {
		return commits, err
	}
	commits = slices.Clone(commits)
	for i := range commits {
		c := &commits[i]
		topic, err := t.client.topic(ctx, c.Topic)
		if err != nil {
			return nil, err
		}
		if _, begun := startedOn(topic, stored, marks); begun {
			c.Metadata = mark(c.Metadata, topic.id)
		}
	}
	return commits, nil
}

// storedBy is the first refusal in a coordinator's response.
func storedBy(answer kmsg.Response) error {
	for _, topic := range answer.(*kmsg.OffsetCommitResponse).Topics {
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
	req.Topics = commitTopics(commits)
	return req
}
