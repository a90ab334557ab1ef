package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/internal/engine"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

func newGroupsCommand(a *app) *cobra.Command {
	return a.group("groups", "Look at consumer groups, and set them back or ahead",
		newGroupsListCommand(a), newGroupsDescribeCommand(a), newGroupsTypesCommand(a), newGroupsResetCommand(a))
}

func newGroupsListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the consumer groups of the cluster", Args: cobra.NoArgs,
		RunE: a.action(func(ctx context.Context, _ []string) error { return a.listGroups(ctx) }),
	}
}

// groupLine is the line of a group in a list.
type groupLine struct {
	Group string `json:"group"`
	// State and Protocol are Kafka's words, such as Stable and consumer; empty
	// where the broker does not know them.
	State    string `json:"state,omitempty"`
	Protocol string `json:"protocol,omitempty"`
}

// listGroups prints the groups. If some brokers don't answer, it prints those
// of the others and fails.
func (a *app) listGroups(ctx context.Context) error {
	t, err := a.transport(ctx)
	if err != nil {
		return err
	}
	groups, err := kafka.NewAdmin(t).Groups(ctx)
	lines, rows := []groupLine{}, []table.Row{}
	for _, g := range groups {
		lines = append(lines, groupLine{g.Name, g.State, g.Protocol})
		rows = append(rows, table.Row{g.Name, g.State, g.Protocol})
	}
	return errors.Join(a.show(lines, table.Row{"group", "state", "protocol"}, rows), err)
}

// groupNames completes the names of groups.
func (a *app) groupNames(c *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return a.names(c, begun, func(ctx context.Context) ([]string, error) {
		t, err := a.transport(ctx)
		if err != nil {
			return nil, err
		}
		groups, err := kafka.NewAdmin(t).Groups(ctx)
		names := make([]string, 0, len(groups))
		for _, g := range groups {
			names = append(names, g.Name)
		}
		return names, err
	})
}

func newGroupsDescribeCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "describe GROUP",
		Short: "Show the members of a group, and how far it has come",
		Long: `Show the members of a group, and of each partition what is committed, how far
that lies behind the end ("lag"), how many events beyond it are finished already
("ahead"), and how many had failed and waited to be tried again ("parked").`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: once(a.groupNames),
		RunE: a.action(func(ctx context.Context, args []string) error { return a.describeGroup(ctx, args[0]) }),
	}
}

// groupDescription is a group in full, for programs.
type groupDescription struct {
	groupLine
	Coordinator int32  `json:"coordinator"`
	Balancer    string `json:"balancer,omitempty"`
	// Lag is the sum over all partitions, in events.
	Lag        int64             `json:"lag"`
	Members    []memberLine      `json:"members"`
	Partitions []groupsPartition `json:"partitions"`
}

// memberLine is a member of a group; Partitions is how many it has.
type memberLine struct {
	ID         string `json:"id"`
	InstanceID string `json:"instanceId,omitempty"`
	ClientID   string `json:"clientId"`
	Host       string `json:"host"`
	Partitions int    `json:"partitions"`
}

// groupsPartition is how far a group has come in a partition.
type groupsPartition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// Committed is the offset of the next event to handle, −1 without a
	// commit.
	Committed int64 `json:"committed"`
	End       int64 `json:"end"`
	Lag       int64 `json:"lag"`
	// Ahead counts events beyond Committed that are finished already, out of
	// order between keys. Lag does not include them.
	Ahead int64 `json:"ahead"`
	// Parked counts events that had failed and waited for their next attempt
	// when the commit was made.
	Parked int    `json:"parked"`
	Member string `json:"member,omitempty"`
	// Problem says why the progress in the commit's metadata can't be read.
	// Members then go on from Committed.
	Problem string `json:"problem,omitempty"`
}

// describeGroup prints a group, its members and its progress in each partition.
func (a *app) describeGroup(ctx context.Context, name string) error {
	t, err := a.transport(ctx)
	if err != nil {
		return err
	}
	g, err := a.oneGroup(ctx, t, name)
	if err != nil {
		return err
	}
	d := groupDescription{
		groupLine: groupLine{g.Name, g.State, g.Protocol}, Coordinator: g.Coordinator, Balancer: g.Balancer,
		Members: []memberLine{}, Partitions: []groupsPartition{},
	}
	for _, m := range g.Members {
		d.Members = append(d.Members, memberLine{m.ID, m.InstanceID, m.ClientID, m.Host, len(m.Assigned)})
	}
	if d.Partitions, err = groupsPartitions(ctx, t, name, owners(&g)); err != nil {
		return err
	}
	for _, p := range d.Partitions {
		d.Lag += p.Lag
	}
	if a.json() {
		return a.printJSON(d)
	}
	return a.printGroup(&d)
}

// oneGroup describes a group that has to exist.
func (a *app) oneGroup(ctx context.Context, t *kafka.Transport, name string) (kafka.Group, error) {
	g, err := kafka.NewAdmin(t).Group(ctx, name)
	if errors.Is(err, kafka.ErrGroupMissing) {
		return g, fmt.Errorf("group %s does not exist: see eventbus groups list", name)
	}
	return g, err
}

// groupsPartitions returns the progress of a group in each partition that it
// has a commit for or that a member owns, in the order of topic and partition.
func groupsPartitions(ctx context.Context, t *kafka.Transport, group string, owners map[transport.Partition]string) ([]groupsPartition, error) {
	positions, err := positionsOf(ctx, t, group)
	if err != nil {
		return nil, err
	}
	for p := range owners {
		if positions[p] == nil {
			positions[p] = &transport.Assignment{Partition: p, Offset: -1}
		}
	}
	all := slices.SortedFunc(maps.Keys(positions), transport.Partition.Compare)
	if len(all) == 0 {
		return []groupsPartition{}, nil
	}
	first, end, err := edges(ctx, t, all...)
	if err != nil {
		return nil, err
	}
	lines := make([]groupsPartition, 0, len(all))
	for _, p := range all {
		at := positions[p]
		l := groupsPartition{Topic: p.Topic, Partition: p.Partition, Committed: at.Offset, End: end[p], Member: owners[p]}
		report, err := engine.ReadCommit(at)
		if err != nil {
			l.Problem = err.Error()
		}
		l.Ahead, l.Parked = report.Finished, report.Parked
		// Without a commit everything in the log is still to be handled. What
		// retention removed is not: no member will ever read it.
		l.Lag = max(end[p]-max(at.Offset, first[p])-l.Ahead, 0)
		lines = append(lines, l)
	}
	return lines, nil
}

// positionsOf returns a group's commits in the form in which a member gets them
// with its assignment. Commits for topics that no longer exist are left out.
func positionsOf(ctx context.Context, t *kafka.Transport, group string) (map[transport.Partition]*transport.Assignment, error) {
	cluster, err := t.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	commits, err := t.Admin().Committed(ctx, group)
	if err != nil {
		return nil, err
	}
	positions := make(map[transport.Partition]*transport.Assignment)
	if len(commits) == 0 {
		// Without names Topics would return all topics of the cluster.
		return positions, nil
	}
	topics := make(map[string]bool)
	for p := range commits {
		topics[p.Topic] = true
	}
	infos, err := t.Admin().Topics(ctx, slices.Collect(maps.Keys(topics))...)
	if err != nil {
		return nil, err
	}
	ids := make(map[string]transport.TopicID, len(infos))
	for i := range infos {
		if infos[i].Err == nil {
			ids[infos[i].Name] = infos[i].ID
		}
	}
	for p, c := range commits {
		if id, there := ids[p.Topic]; there {
			positions[p] = &transport.Assignment{
				Partition: p, Offset: c.Offset, Metadata: c.Metadata, LeaderEpoch: c.LeaderEpoch, TopicID: id, ClusterID: cluster.ID,
			}
		}
	}
	return positions, nil
}

// printGroup prints a group for people. Lag in a partition that no member owns
// is coloured: it only grows.
func (a *app) printGroup(d *groupDescription) error {
	if err := a.say("%s  %s, %s, lag %d, coordinated by broker %d", a.paint(d.Group, text.Bold), d.State, counted(len(d.Members), "member"), d.Lag, d.Coordinator); err != nil {
		return err
	}
	var rows []table.Row
	for _, m := range d.Members {
		rows = append(rows, table.Row{m.ID, m.InstanceID, m.ClientID, m.Host, m.Partitions})
	}
	if len(rows) > 0 {
		if err := a.printTable(table.Row{"member", "instance", "client", "host", "partitions"}, rows); err != nil {
			return err
		}
	}
	rows = nil
	for _, p := range d.Partitions {
		committed := fmt.Sprint(p.Committed)
		if p.Committed < 0 {
			committed = "none"
		}
		lag := shown(fmt.Sprint(p.Lag))
		if p.Lag > 0 && p.Member == "" {
			lag = a.paint(string(lag), text.FgYellow)
		}
		rows = append(rows, table.Row{p.Topic, p.Partition, committed, p.End, lag, p.Ahead, p.Parked, p.Member, a.paint(p.Problem, text.FgRed)})
	}
	return a.printTable(table.Row{"topic", "partition", "committed", "end", "lag", "ahead", "parked", "member", ""}, rows)
}
