package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/kafka/internal/cluster"
	"github.com/eventbus-go/eventbus/kafka/internal/group"
	"github.com/eventbus-go/eventbus/kafka/internal/kerr"
	"github.com/eventbus-go/eventbus/transport"
)

// ErrGroupBusy means that a group has members. They would not notice new offsets, and overwrite
// them with their next commit.
var ErrGroupBusy = errors.New("the group has members: stop them first")

// ResetGroup commits offsets for a group without members, so that members that join later continue
// there. It creates a group that does not exist, and ignores the commits' Epoch. If the group has
// members the error is ErrGroupBusy: the broker checks this, so a member that joins at the same
// moment is safe too.
//
// All offsets go into one request. The coordinator stores all of them or none, except for
// partitions that do not exist, which the error names.
func (a *Admin) ResetGroup(ctx context.Context, name string, commits ...transport.Commit) error {
	if a.err != nil {
		return a.err
	}
	if len(commits) == 0 {
		return nil
	}
	err := group.Reset(ctx, a.client, name, commits)
	if errors.Is(err, transport.ErrFenced) {
		err = fmt.Errorf("%w (%w)", ErrGroupBusy, err)
	}
	if err != nil {
		return fmt.Errorf("kafka: resetting group %q: %w", name, err)
	}
	return nil
}

// DeleteGroup deletes a group without members, with everything that it has committed: offsets, and
// what members keep beside them. If it has members the error is ErrGroupBusy: the broker checks
// this, so a member that joins at the same moment is safe. The error is ErrGroupMissing if there is
// no such group, also where the answer to a first request was lost.
func (a *Admin) DeleteGroup(ctx context.Context, name string) error {
	if a.err != nil {
		return a.err
	}
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{name}
	err := a.client.AskGroup(ctx, name, cluster.Rare(req, (*kmsg.DeleteGroupsRequest).AppendTo, (*kmsg.DeleteGroupsResponse).ReadFrom), func(answer kmsg.Response) error {
		for _, g := range answer.(*kmsg.DeleteGroupsResponse).Groups {
			if g.Group == name {
				return kerr.CodeError(g.ErrorCode)
			}
		}
		return cluster.ErrLeftOut
	})
	switch {
	case errors.Is(err, kerr.NonEmptyGroup):
		err = fmt.Errorf("%w (%w)", ErrGroupBusy, err)
	case errors.Is(err, kerr.GroupIDNotFound):
		err = fmt.Errorf("%w (%w)", ErrGroupMissing, err)
	}
	if err != nil {
		return fmt.Errorf("kafka: deleting group %q: %w", name, err)
	}
	return nil
}
