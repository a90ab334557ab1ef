package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/internal/grouplag"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// newTopicsCommand returns the group of commands for topics.
func newTopicsCommand(a *app) *cobra.Command {
	return a.group("topics", "Look at topics, and hold them against what is declared",
		newTopicsListCommand(a), newTopicsDescribeCommand(a), newTopicsDiffCommand(a), newTopicsProvisionCommand(a))
}

// newTopicsListCommand returns the command that lists topics.
func newTopicsListCommand(a *app) *cobra.Command {
	var internal bool
	c := &cobra.Command{
		Use: "list", Short: "List the topics of the cluster", Args: cobra.NoArgs,
		RunE: a.action(func(ctx context.Context, _ []string) error { return a.listTopics(ctx, internal) }),
	}
	c.Flags().BoolVar(&internal, "internal", false, "also Kafka's own topics, whose names begin with __")
	return c
}

// topicLine is the line of a topic in a list. Configurations are Kafka's texts, empty if
// the broker does not return them.
type topicLine struct {
	Topic       string `json:"topic"`
	Partitions  int32  `json:"partitions"`
	Replication int16  `json:"replication"`
	Cleanup     string `json:"cleanupPolicy,omitempty"`
	Retention   string `json:"retentionMs,omitempty"`
	MinInSync   string `json:"minInsyncReplicas,omitempty"`
}

// newTopicLine returns the line of a topic.
func newTopicLine(info *transport.TopicInfo) topicLine {
	return topicLine{
		info.Name, info.Partitions, info.Replication,
		info.Configs["cleanup.policy"], info.Configs["retention.ms"], info.Configs["min.insync.replicas"],
	}
}

// listTopics prints the topics by name. It includes Kafka's own only if internal is set.
func (a *app) listTopics(ctx context.Context, internal bool) error {
	t, err := a.transport(ctx)
	if err != nil {
		return err
	}
	// Without names it returns all topics that the credentials may see.
	infos, err := t.Admin().Topics(ctx)
	if err != nil {
		return err
	}
	meant, err := a.meant()
	if err != nil {
		return err
	}
	// Not nil, so that JSON has [] for no topics.
	lines := []topicLine{}
	for i := range infos {
		if meant(infos[i].Name) && (internal || !strings.HasPrefix(infos[i].Name, "__")) {
			lines = append(lines, newTopicLine(&infos[i]))
		}
	}
	// Brokers return topics in no particular order.
	slices.SortFunc(lines, func(x, y topicLine) int { return strings.Compare(x.Topic, y.Topic) })
	var rows []table.Row
	for _, l := range lines {
		rows = append(rows, table.Row{l.Topic, l.Partitions, l.Replication, l.Cleanup, retention(l.Retention), l.MinInSync})
	}
	return a.show(lines, table.Row{"topic", "partitions", "replication", "cleanup", "retention", "min in sync"}, rows)
}

// meant returns a function that reports whether a topic's name belongs to the environment
// of --environment. Without the flag all do.
func (a *app) meant() (func(name string) bool, error) {
	if a.environment == "" {
		return func(string) bool { return true }, nil
	}
	// The flag is the name of an environment, as in the configuration of services. Topics
	// begin with its segment.
	segment, err := naming.Environment(a.environment)
	if err != nil {
		return nil, misuse("--environment: %v", err)
	}
	// The dot is part of the prefix: "dev" would match "development.sales".
	return func(name string) bool { return strings.HasPrefix(name, segment+".") }, nil
}

// newTopicsDescribeCommand returns the command that shows topics in full.
func newTopicsDescribeCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "describe TOPIC…", Short: "Show how topics are kept, and who holds their partitions",
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: a.topicNames,
		RunE: a.action(a.describeTopics),
	}
}

// topicDescription is a topic in full, for programs.
type topicDescription struct {
	topicLine
	// Configs is all that the broker returns, including defaults; nil without the right to
	// read configurations.
	Configs map[string]string  `json:"configs,omitempty"`
	Held    []partitionHolding `json:"partitionsHeld"`
}

// partitionHolding is where a partition is kept.
type partitionHolding struct {
	Partition int32 `json:"partition"`
	// Leader, Replicas and InSync are broker ids; Leader is −1 if there is none.
	Leader   int32   `json:"leader"`
	Replicas []int32 `json:"replicas"`
	InSync   []int32 `json:"inSync"`
	// First and End are the offsets of the log, [First, End).
	First int64 `json:"firstOffset"`
	End   int64 `json:"endOffset"`
}

// describeTopics prints topics. It returns an error that names all that don't exist.
func (a *app) describeTopics(ctx context.Context, names []string) error {
	t, err := a.transport(ctx)
	if err != nil {
		return err
	}
	// Topics that don't exist are returned too, each with an error.
	infos, err := t.Admin().Topics(ctx, names...)
	if err != nil {
		return err
	}
	// All names are checked before the command fails.
	var missing []error
	described := []topicDescription{}
	for i := range infos {
		if infos[i].Err != nil {
			missing = append(missing, a.topicMissing(infos[i].Name, infos[i].Err))
			continue
		}
		d, err := describeTopic(ctx, t, &infos[i])
		if err != nil {
			return err
		}
		described = append(described, d)
	}
	if err := errors.Join(missing...); err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(described)
	}
	for i, d := range described {
		if i > 0 {
			_ = a.say("")
		}
		if err := a.printTopic(d); err != nil {
			return err
		}
	}
	return nil
}

// describeTopic adds the replicas and the offsets of the logs to a topic, by two more
// requests.
func describeTopic(ctx context.Context, t *kafka.Transport, info *transport.TopicInfo) (topicDescription, error) {
	d := topicDescription{topicLine: newTopicLine(info), Configs: info.Configs}
	// Requested after the first description, so a partition that has moved meanwhile is shown
	// where it is now.
	replicas, err := kafka.NewAdmin(t).Replicas(ctx, info.Name)
	if err != nil {
		return d, err
	}
	first, end, err := grouplag.Edges(ctx, t, grouplag.Partitions(info)...)
	if err != nil {
		return d, err
	}
	for _, r := range replicas {
		d.Held = append(d.Held, partitionHolding{r.Partition.Partition, r.Leader, r.All, r.InSync, first[r.Partition], end[r.Partition]})
	}
	return d, nil
}

// printTopic prints a topic for people. A partition without a leader, which accepts no
// events, is red; one that lacks a replica in sync is yellow.
func (a *app) printTopic(d topicDescription) error {
	if err := a.say("%s  %s, replication %d", a.paint(d.Topic, text.Bold), counted(d.Partitions, "partition"), d.Replication); err != nil {
		return err
	}
	var rows []table.Row
	for _, name := range slices.Sorted(maps.Keys(d.Configs)) {
		rows = append(rows, table.Row{"  " + name, d.Configs[name]})
	}
	if err := a.printTable(table.Row{"  configuration", "value"}, rows); err != nil {
		return err
	}
	rows = nil
	for _, p := range d.Held {
		leader, insync := shown(fmt.Sprint(p.Leader)), shown(fmt.Sprint(p.InSync))
		if p.Leader < 0 {
			leader = a.paint("none", text.FgRed)
		}
		if len(p.InSync) < len(p.Replicas) {
			insync = a.paint(string(insync), text.FgYellow)
		}
		rows = append(rows, table.Row{p.Partition, leader, fmt.Sprint(p.Replicas), insync, p.First, p.End})
	}
	return a.printTable(table.Row{"partition", "leader", "replicas", "in sync", "first", "end"}, rows)
}

// topicMissing adds a remedy to the error of a topic that can't be described.
func (a *app) topicMissing(name string, err error) error {
	// Other errors, such as a missing right, explain themselves.
	if errors.Is(err, transport.ErrTopicMissing) {
		return fmt.Errorf("topic %s does not exist: see eventbus topics list, or create what is declared with eventbus topics provision", name)
	}
	return fmt.Errorf("topic %s: %w", name, err)
}

// oneTopic describes a topic that has to exist.
func (a *app) oneTopic(ctx context.Context, t *kafka.Transport, name string) (*transport.TopicInfo, error) {
	// One name yields one description, which may hold an error.
	infos, err := t.Admin().Topics(ctx, name)
	switch {
	case err != nil:
		return nil, err
	case infos[0].Err != nil:
		return nil, a.topicMissing(name, infos[0].Err)
	}
	return &infos[0], nil
}
