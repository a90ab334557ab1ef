package eventbus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/transport"
)

// specs is every topic of the bus as it is to be created.
func (b *Bus) specs() []transport.TopicSpec {
	b.mu.Lock()
	defer b.mu.Unlock()
	var specs []transport.TopicSpec
	for _, name := range slices.Sorted(maps.Keys(b.topics.names)) {
		specs = append(specs, b.topics.names[name].Spec(name))
	}
	return specs
}

// provision creates the topics that are missing, or says which are. Existing
// topics are never altered.
func (b *Bus) provision(ctx context.Context, specs ...transport.TopicSpec) error {
	if len(specs) == 0 {
		return nil
	}
	names := make([]string, len(specs))
	for i := range specs {
		names[i] = specs[i].Name
	}
	infos, err := b.transport.Admin().Topics(ctx, names...)
	if err != nil {
		return err
	}
	var missing []transport.TopicSpec
	var wrong []error
	for i, info := range infos {
		switch {
		case errors.Is(info.Err, ErrTopicMissing):
			if !b.config.provision {
				wrong = append(wrong, topicMissing(specs[i].Name, info.Err))
			}
			missing = append(missing, specs[i])
		case info.Err != nil:
			wrong = append(wrong, fmt.Errorf("topic %s: %w", info.Name, info.Err))
		default:
			b.logDifferences(&specs[i], &info)
		}
	}
	if len(wrong) > 0 {
		return errors.Join(wrong...)
	}
	if len(missing) == 0 {
		return nil
	}
	if err := b.transport.Admin().CreateTopics(ctx, missing...); err != nil {
		return fmt.Errorf("creating topics: %w", err)
	}
	for _, spec := range missing {
		partitions := any("the broker's default")
		if spec.Partitions > 0 {
			partitions = spec.Partitions
		}
		b.config.Logger.Info("topic created", "topic", spec.Name, "partitions", partitions)
	}
	return nil
}

// logDifferences tells where a topic is not as it was declared.
func (b *Bus) logDifferences(spec *transport.TopicSpec, info *transport.TopicInfo) {
	var differences []any
	for _, d := range spec.Differences(info) {
		differences = append(differences, d.What, fmt.Sprintf("declared %s, is %s", d.Declared, d.Actual))
	}
	if len(differences) > 0 {
		b.config.Logger.Warn("topic differs from its declaration and stays as it is", append([]any{"topic", info.Name}, differences...)...)
	}
	if info.Replication >= 3 && info.Configs["min.insync.replicas"] == "1" {
		b.config.Logger.Warn("topic acknowledges writes with a single replica: set min.insync.replicas to 2", "topic", info.Name)
	}
}

// provisionLetters makes sure that every topic that a group handles has its
// dead-letter topic, and the retry topic through which letters come back:
// missing ones show at the start, not at the first poison.
//
// They have their source's partitions, and room for what a letter adds to the
// largest record; letters are kept for ever.
func (b *Bus) provisionLetters(ctx context.Context, handled map[string][]*groupTopic) error {
	if len(handled) == 0 {
		return nil
	}
	infos, err := b.transport.Admin().Topics(ctx, slices.Sorted(maps.Keys(handled))...)
	if err != nil {
		return err
	}
	var letters, retries []transport.TopicSpec
	for _, source := range infos {
		if source.Err != nil {
			return fmt.Errorf("topic %s: %w", source.Name, source.Err)
		}
		largest, err := strconv.Atoi(source.Configs[configMaxMessage])
		if err != nil {
			largest = defaultMaxMessage
		}
		spec := func(name string, configs map[string]string) transport.TopicSpec {
			configs[declare.ConfigCleanupPolicy] = "delete"
			configs[configMaxMessage] = strconv.Itoa(largest + 64<<10)
			return transport.TopicSpec{Name: name, Partitions: source.Partitions, Replication: source.Replication, Configs: configs}
		}
		for _, t := range handled[source.Name] {
			letters = append(letters, spec(t.letters.topic, map[string]string{declare.ConfigRetention: "-1"}))
			retries = append(retries, spec(t.retry, map[string]string{}))
		}
	}
	if err := b.provision(ctx, letters...); err != nil {
		return err
	}
	// Nothing is lost without a retry topic until somebody replays a letter.
	err = b.provision(ctx, retries...)
	if errors.Is(err, ErrTopicMissing) {
		b.config.Logger.Warn("dead letters can't be redelivered", "error", err)
		return nil
	}
	return err
}

const (
	configMaxMessage = "max.message.bytes"
	// defaultMaxMessage is Kafka's.
	defaultMaxMessage = 1_048_588
)

// handledTopics lists what the groups handle, by Kafka name.
func (b *Bus) handledTopics() map[string][]*groupTopic {
	b.mu.Lock()
	defer b.mu.Unlock()
	handled := make(map[string][]*groupTopic)
	for _, g := range b.groups {
		g.handledTopics(handled)
	}
	return handled
}

// handledTopics adds those of one group.
func (g *group) handledTopics(handled map[string][]*groupTopic) {
	for _, t := range g.topics {
		handled[t.name] = append(handled[t.name], t)
	}
}
