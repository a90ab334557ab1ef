package kafka

import (
	"context"
	"fmt"

	"github.com/eventbus-go/eventbus/kafka/internal/group"
	"github.com/eventbus-go/eventbus/transport"
)

// Offsets resolves a start position for each partition.
func (a *admin) Offsets(ctx context.Context, at transport.Start, partitions ...transport.Partition) (map[transport.Partition]int64, error) {
	if a.err != nil {
		return nil, a.err
	}
	found, err := a.client.Offsets(ctx, at, partitions)
	if err != nil {
		return nil, fmt.Errorf("kafka: resolving offsets: %w", err)
	}
	return found, nil
}

// Committed reads a group's committed offsets on those topics, or on all if none
// is named.
func (a *admin) Committed(ctx context.Context, name string, topics ...string) (map[transport.Partition]transport.Commit, error) {
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
