package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus/kafka/internal/group"
	"github.com/eventbus-go/eventbus/transport"
)

// keptFor is how long offsets are kept: long enough for ever.
const keptFor = 100 * 365 * 24 * time.Hour

// commitWithRetention is the highest version of OffsetCommit in which the client
// says how long offsets are kept (KIP-211 took it out of the later ones). Brokers
// from 2.8 to 4.1 speak it, and keep their word.
const commitWithRetention = 4

// KeepOffsets commits offsets for a group that never has members, and has the
// brokers keep them: other commits of a group without members are forgotten after
// offsets.retention.minutes, a week by default. Epochs play no part. The error is
// ErrFenced if the group has members.
func (t *Transport) KeepOffsets(ctx context.Context, name string, commits ...transport.Commit) error {
	if t.err != nil {
		return t.err
	}
	if len(commits) == 0 {
		return nil
	}
	req := group.StoreRequest(name, commits)
	req.RetentionTimeMillis = keptFor.Milliseconds()
	if err := t.client.AskGroup(ctx, name, capped{req, commitWithRetention}, group.StoredBy); err != nil {
		return fmt.Errorf("kafka: keeping offsets of group %q: %w", name, err)
	}
	return nil
}
