package memory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/eventbus-go/eventbus/transport"
)

// admin is a Cluster's transport.Admin. During an outage all its calls fail, as requests to a
// broker do; the Cluster's methods of similar names are a test's view and always work.
type admin struct{ c *Cluster }

// Admin returns the cluster's transport.Admin.
func (c *Cluster) Admin() transport.Admin { return admin{c} }

// Topics describes each name by itself: a missing one has its own Err.
func (a admin) Topics(ctx context.Context, names ...string) ([]transport.TopicInfo, error) {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	if err := a.c.usable(ctx); err != nil {
		return nil, err
	}
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(a.c.topics))
	}
	infos := make([]transport.TopicInfo, len(names))
	for i, name := range names {
		t := a.c.topics[name]
		if t == nil {
			infos[i] = transport.TopicInfo{Name: name, Err: fmt.Errorf("%w: %s", transport.ErrTopicMissing, name)}
			continue
		}
		infos[i] = transport.TopicInfo{
			Name:        name,
			ID:          t.id,
			Partitions:  int32(len(t.logs)),
			Replication: t.replication,
			Configs:     maps.Clone(t.configs),
		}
	}
	return infos, nil
}

// CreateTopics creates the topics it can, and returns the errors of the others. A topic that
// already exists is not an error, and stays as it is.
func (a admin) CreateTopics(ctx context.Context, specs ...transport.TopicSpec) error {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	if err := a.c.usable(ctx); err != nil {
		return err
	}
	var errs []error
	for _, s := range specs {
		errs = append(errs, a.c.createTopic(s))
	}
	return errors.Join(errs...)
}

// Offsets returns the offsets of all partitions, or an error.
func (a admin) Offsets(ctx context.Context, at transport.Start, partitions ...transport.Partition) (map[transport.Partition]int64, error) {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	if err := a.c.usable(ctx); err != nil {
		return nil, err
	}
	offsets := make(map[transport.Partition]int64, len(partitions))
	for _, p := range partitions {
		l, err := a.c.log(p.Topic, p.Partition)
		if err != nil {
			return nil, err
		}
		offsets[p] = l.resolve(at)
	}
	return offsets, nil
}

// Committed returns the offsets for all topics if none is named. A group that does not exist has
// none, which is not an error.
func (a admin) Committed(ctx context.Context, group string, topics ...string) (map[transport.Partition]transport.Commit, error) {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	if err := a.c.usable(ctx); err != nil {
		return nil, err
	}
	// The map belongs to this call, so other topics can be deleted from it.
	commits := a.c.committed(group)
	maps.DeleteFunc(commits, func(p transport.Partition, _ transport.Commit) bool {
		return len(topics) > 0 && !slices.Contains(topics, p.Topic)
	})
	return commits, nil
}
