package eventbus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/eventbus-go/eventbus/internal/declare"
	"github.com/eventbus-go/eventbus/transport"
)

// specs returns every topic of the bus, with the settings to create it.
func (b *Bus) specs() []transport.TopicSpec {
	b.mu.Lock()
	defer b.mu.Unlock()
	var specs []transport.TopicSpec
	for _, name := range slices.Sorted(maps.Keys(b.topics.names)) {
		specs = append(specs, b.topics.names[name].Spec(name))
	}
	return specs
}

// mayCreate reports whether the bus may create a topic, and whether the topic is an existing
// one: declared with an Address and without Create, it belongs to somebody else.
func (b *Bus) mayCreate(name string) (may, existing bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.topics.names[name]
	existing = d != nil && d.Existing()
	return b.config.provision && !existing, existing
}

// provision creates the missing topics, or returns an error that names them if the bus may
// not. It never alters existing topics: their settings may be an operator's decision.
func (b *Bus) provision(ctx context.Context, specs ...transport.TopicSpec) error {
	if len(specs) == 0 {
		return nil
	}
	_, err := b.provisionKnown(ctx, nil, specs)
	return err
}

// provisionKnown is provision, and reports whether it created a topic. It does not ask for
// topics in known, which may be nil.
func (b *Bus) provisionKnown(ctx context.Context, known map[string]transport.TopicInfo, specs []transport.TopicSpec) (created bool, err error) {
	// Topics are asked for by name, so the answers are in the order of specs.
	names := make([]string, len(specs))
	for i := range specs {
		names[i] = specs[i].Name
	}
	infos, err := b.describe(ctx, known, names)
	if err != nil {
		return false, err
	}
	var missing []transport.TopicSpec
	var wrong []error
	// refused collects all missing topics in one error.
	var refused *missingTopic
	for i, info := range infos {
		switch {
		case errors.Is(info.Err, ErrTopicMissing):
			missing = append(missing, specs[i])
			may, existing := b.mayCreate(specs[i].Name)
			if may {
				continue
			}
			if refused == nil {
				refused = &missingTopic{cause: info.Err}
				wrong = append(wrong, refused)
			}
			refused.topics = append(refused.topics, specs[i].Name)
			if existing {
				refused.existing = append(refused.existing, specs[i].Name)
			}
		case info.Err != nil:
			wrong = append(wrong, fmt.Errorf("topic %s: %w", info.Name, info.Err))
		default:
			b.logDifferences(&specs[i], &info)
		}
	}
	switch len(wrong) {
	case 0:
	case 1:
		// Return a single error as it is, so that provisionLetters recognizes it.
		return false, wrong[0]
	default:
		return false, errors.Join(wrong...)
	}
	if len(missing) == 0 {
		return false, nil
	}
	if err := b.transport.Admin().CreateTopics(ctx, missing...); err != nil {
		return false, fmt.Errorf("creating topics: %w", err)
	}
	for _, spec := range missing {
		if !b.firstCreation(spec.Name) {
			continue
		}
		// Zero leaves the number to the broker.
		partitions := any("the broker's default")
		if spec.Partitions > 0 {
			partitions = spec.Partitions
		}
		b.config.Logger.Info("topic created", "topic", spec.Name, "partitions", partitions)
	}
	return true, nil
}

// firstCreation notes that a topic was created, and reports whether that is new. A publish
// and the start may both find it missing; creating it twice is not an error.
func (b *Bus) firstCreation(topic string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := !b.topics.created[topic]
	if b.topics.created == nil {
		b.topics.created = make(map[string]bool)
	}
	b.topics.created[topic] = true
	return first
}

// describe returns the known infos of topics, in the order of names. If any is missing it asks
// the cluster for all of them.
func (b *Bus) describe(ctx context.Context, known map[string]transport.TopicInfo, names []string) ([]transport.TopicInfo, error) {
	infos := make([]transport.TopicInfo, 0, len(names))
	for _, name := range names {
		info, ok := known[name]
		if !ok {
			return b.transport.Admin().Topics(ctx, names...)
		}
		infos = append(infos, info)
	}
	return infos, nil
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

// provisionTopics makes sure that every topic of the bus exists, and the dead-letter and retry
// topics of those that its groups handle. If the bus may not create topics, the error names
// all that are missing, so that one request to the cluster's operators is enough.
func (b *Bus) provisionTopics(ctx context.Context) error {
	specs, handled := b.specs(), b.handledTopics()
	// One request for all: each costs a start two round trips.
	var names []string
	for i := range specs {
		names = append(names, specs[i].Name)
	}
	for name, groups := range handled {
		names = append(names, name)
		for _, t := range groups {
			names = append(names, t.letters.Dead, t.letters.Retry)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	infos, err := b.transport.Admin().Topics(ctx, slices.Compact(names)...)
	if err != nil {
		return err
	}
	known := make(map[string]transport.TopicInfo, len(infos))
	for _, info := range infos {
		known[info.Name] = info
	}
	if b.config.provision {
		created, err := b.provisionKnown(ctx, known, specs)
		if err != nil {
			return err
		}
		// The broker has decided what the declarations leave open, and the dead-letter topics
		// follow from that.
		if created {
			known = nil
		}
	}
	return b.provisionLetters(ctx, handled, specs, known)
}

// provisionLetters makes sure that every topic a group handles has its dead-letter topic, and
// its retry topic for redeliveries, so that a missing one is found at the start and not at the
// first poisonous event. declared are the other topics that must exist; they stand in for
// missing sources. Topics in known are not asked for again.
func (b *Bus) provisionLetters(ctx context.Context, handled map[string][]*groupTopic, declared []transport.TopicSpec, known map[string]transport.TopicInfo) error {
	var letters []transport.TopicSpec
	retries := make(map[string]bool)
	if len(handled) > 0 {
		infos, err := b.describe(ctx, known, slices.Sorted(maps.Keys(handled)))
		if err != nil {
			return err
		}
		for _, info := range infos {
			source := transport.TopicSpec{Name: info.Name, Partitions: info.Partitions, Replication: info.Replication, Configs: info.Configs}
			switch at := slices.IndexFunc(declared, func(s transport.TopicSpec) bool { return s.Name == info.Name }); {
			case errors.Is(info.Err, ErrTopicMissing) && at >= 0:
				source = declared[at]
			case info.Err != nil:
				return fmt.Errorf("topic %s: %w", info.Name, info.Err)
			}
			for _, t := range handled[source.Name] {
				dead, retry := declare.LetterTopics(&source, t.letters.Letters)
				retries[retry.Name] = true
				letters = declare.WithLetters(letters, dead, retry)
			}
		}
	}
	// Topics that already exist cost nothing but the request.
	_, err := b.provisionKnown(ctx, known, slices.Concat(declared, letters))
	missing, ok := err.(*missingTopic) //nolint:errorlint // joined with another error it doesn't count
	if ok && !slices.ContainsFunc(missing.topics, func(name string) bool { return !retries[name] }) {
		// Without a retry topic nothing is lost until somebody replays a letter.
		b.config.Logger.Warn("dead letters can't be redelivered", "error", err)
		return nil
	}
	return err
}

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
