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

// specs returns every topic of the bus with the settings for its creation.
func (b *Bus) specs() []transport.TopicSpec {
	b.mu.Lock()
	defer b.mu.Unlock()
	var specs []transport.TopicSpec
	for _, name := range slices.Sorted(maps.Keys(b.topics.names)) {
		specs = append(specs, b.topics.names[name].Spec(name))
	}
	return specs
}

// provision creates the missing topics, or returns an error that names them if
// the bus may not. Existing topics are never altered: their settings may be an
// operator's decision.
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
				wrong = append(wrong, &missingTopic{specs[i].Name, info.Err})
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

// logDifferences logs where a topic differs from its declaration.
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
// dead-letter topic, and the retry topic for redeliveries. Missing ones are then
// found at the start, not at the first poisonous event.
//
// They have their source's number of partitions, and allow for what a letter
// adds to the largest record. Letters are kept without limit: only an operator
// knows when one is no longer needed.
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

// Kafka's topic configuration for the largest record batch, and its default.
const (
	configMaxMessage = "max.message.bytes"
	// defaultMaxMessage is Kafka's.
	defaultMaxMessage = 1_048_588
)

// handledTopics returns the topics that the groups handle, by Kafka name.
func (b *Bus) handledTopics() map[string][]*groupTopic {
	b.mu.Lock()
	defer b.mu.Unlock()
	handled := make(map[string][]*groupTopic)
	for _, g := range b.groups {
		g.handledTopics(handled)
	}
	return handled
}

// handledTopics adds the topics of one group to handled.
func (g *group) handledTopics(handled map[string][]*groupTopic) {
	for _, t := range g.topics {
		handled[t.name] = append(handled[t.name], t)
	}
}
