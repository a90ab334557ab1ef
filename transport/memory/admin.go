package memory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/eventbus-go/eventbus/transport"
)

// admin is a Cluster's transport.Admin.
// All of its calls fail during an outage, as requests to a broker do; the Cluster's
// methods of similar names are a test's view and always answer.
type admin struct{ c *Cluster }

// Admin describes and creates topics.
func (c *Cluster) Admin() transport.Admin { return admin{c} }

// Topics answers for each name by itself: one that is missing has an Err of its own.
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

// CreateTopics creates what it can, and returns what is wrong with the others. A topic
// that is there already is no error, and stays as it is.
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

// Offsets answers for all partitions or for none.
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

// Committed returns those of all topics if none is named. A group that does not exist
// has none, which is no error.
func (a admin) Committed(ctx context.Context, group string, topics ...string) (map[transport.Partition]transport.Commit, error) {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	if err := a.c.usable(ctx); err != nil {
		return nil, err
	}
	// The map is made for this call, so what is not asked for can be deleted from it.
	commits := a.c.committed(group)
	maps.DeleteFunc(commits, func(p transport.Partition, _ transport.Commit) bool {
		return len(topics) > 0 && !slices.Contains(topics, p.Topic)
	})
	return commits, nil
}
