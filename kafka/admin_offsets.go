package kafka

import (
	"context"
	"fmt"

	"github.com/eventbus-go/eventbus/kafka/internal/group"
	"github.com/eventbus-go/eventbus/transport"
)

// Offsets resolves a start position to an offset for each partition: the start of its log, its end
// (the last stable offset), or the first record at or after a time. It fails if any partition does
// not exist.
func (a *Admin) Offsets(ctx context.Context, at transport.Start, partitions ...transport.Partition) (map[transport.Partition]int64, error) {
	if a.err != nil {
		return nil, a.err
	}
	found, err := a.client.Offsets(ctx, at, partitions)
	if err != nil {
		return nil, fmt.Errorf("kafka: resolving offsets: %w", err)
	}
	return found, nil
}

// Committed returns a group's committed offsets and their metadata for the given topics, or for
// all if none is given. Partitions without a commit are absent. A group that does not exist has
// no commits.
func (a *Admin) Committed(ctx context.Context, name string, topics ...string) (map[transport.Partition]transport.Commit, error) {
	if a.err != nil {
		return nil, a.err
	}
	var commits map[transport.Partition]transport.Commit
	err := a.client.Persist(ctx, func() (err error) {
		commits, err = a.client.Committed(ctx, name, topics)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("kafka: committed offsets of group %q: %w", name, err)
	}
	group.UnmarkAll(commits)
	return commits, nil
}
