package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/group"
	"github.com/eventbus-go/eventbus/transport"
)

// keptFor is the retention that KeepOffsets requests. The protocol has no value for "forever"; a
// century serves.
const keptFor = 100 * 365 * 24 * time.Hour

// commitWithRetention is the last version of OffsetCommit with a retention time, which KIP-211
// removed. Brokers from 2.8 to 4.1 accept this version and honor the field.
const commitWithRetention = 4

// KeepOffsets commits offsets for a group that never has members, and asks the brokers to keep
// them for a century. Other commits of a group without members are deleted after
// offsets.retention.minutes, a week by default. It ignores the commits' Epoch. The error is
// transport.ErrFenced if the group has members.
func (a *Admin) KeepOffsets(ctx context.Context, name string, commits ...transport.Commit) error {
	if a.err != nil {
		return a.err
	}
	if len(commits) == 0 {
		return nil
	}
	req := group.StoreRequest(name, commits)
	req.RetentionTimeMillis = keptFor.Milliseconds()
	if err := a.client.AskGroup(ctx, name, capped{req, commitWithRetention}, group.StoredBy(commits)); err != nil {
		return fmt.Errorf("kafka: keeping offsets of group %q: %w", name, err)
	}
	return nil
}
