package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/eventbus-go/eventbus/kafka/internal/group"
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
func (t *Transport) ResetGroup(ctx context.Context, name string, commits ...transport.Commit) error {
	if t.err != nil {
		return t.err
	}
	if len(commits) == 0 {
		return nil
	}
	err := group.ResetGroup(ctx, t.client, name, commits)
	if errors.Is(err, transport.ErrFenced) {
		err = fmt.Errorf("%w (%w)", ErrGroupBusy, err)
	}
	if err != nil {
		return fmt.Errorf("kafka: resetting group %q: %w", name, err)
	}
	return nil
}
