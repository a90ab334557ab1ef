package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/internal/grouplag"
	"github.com/eventbus-go/eventbus/kafka"
)

// newGroupsCommand returns the group of commands for consumer groups.
func newGroupsCommand(a *app) *cobra.Command {
	return a.group("groups", "Look at consumer groups, set them back or ahead, and delete them",
		newGroupsListCommand(a), newGroupsDescribeCommand(a), newGroupsTypesCommand(a), newGroupsResetCommand(a), newGroupsDeleteCommand(a))
}

// newGroupsListCommand returns the command that lists groups, including those of other
// programs.
func newGroupsListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the consumer groups of the cluster", Args: cobra.NoArgs,
		RunE: a.action(func(ctx context.Context, _ []string) error { return a.listGroups(ctx) }),
	}
}

// groupLine is the line of a group in a list.
type groupLine struct {
	Group string `json:"group"`
	// State and Protocol are Kafka's terms, such as Stable and consumer; empty if the broker
	// does not report them.
	State    string `json:"state,omitempty"`
	Protocol string `json:"protocol,omitempty"`
}

// listGroups prints the groups. If some brokers don't answer, it prints the groups of
// the others and returns an error.
func (a *app) listGroups(ctx context.Context) error {
	t, err := a.transport(ctx)
	if err != nil {
		return err
	}
	// Each broker coordinates some of the groups, so all are asked.
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

// newGroupsDescribeCommand returns the command that shows one group.
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
	// Coordinator is the broker's id. Balancer is the assignment strategy on which the
	// members agreed.
	Coordinator int32  `json:"coordinator"`
	Balancer    string `json:"balancer,omitempty"`
	// Lag is the sum over all partitions, in events.
	Lag        int64                `json:"lag"`
	Members    []memberLine         `json:"members"`
	Partitions []grouplag.Partition `json:"partitions"`
}

// memberLine is a member of a group. InstanceID is empty unless the member is
// static.
type memberLine struct {
	ID         string `json:"id"`
	InstanceID string `json:"instanceId,omitempty"`
	ClientID   string `json:"clientId"`
	// Library is the client library that the member seems to use; empty if unknown.
	Library string `json:"library,omitempty"`
	Host    string `json:"host"`
	// Partitions is how many partitions it has.
	Partitions int `json:"partitions"`
}

// libraryOf returns the client library that a member seems to use. Members of this library
// announce their types; others are recognized by their default client ids.
func libraryOf(m *kafka.GroupMember) string {
	id := m.ClientID
	switch {
	case len(m.TypeIDs) > 0 || len(m.Types) > 0:
		return "eventbus"
	case strings.HasSuffix(id, "(github.com/segmentio/kafka-go)"):
		return "kafka-go"
	case id == "sarama", id == "watermill", id == "eventbus":
		return id
	case id == "kgo":
		return "franz-go"
	case id == "rdkafka":
		return "librdkafka"
	case strings.HasPrefix(id, "consumer-"), id == "console-consumer":
		return "Java"
	}
	return ""
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
		// Empty rather than nil, so that JSON has [] for a group without members.
		Members: []memberLine{}, Partitions: []grouplag.Partition{},
	}
	for _, m := range g.Members {
		d.Members = append(d.Members, memberLine{m.ID, m.InstanceID, m.ClientID, libraryOf(&m), m.Host, len(m.Assigned)})
	}
	// Commits are read before ends, so the lag of a busy partition is slightly too large.
	if d.Partitions, err = grouplag.Of(ctx, t, name, grouplag.Owners(&g)); err != nil {
		return err
	}
	// Partitions without a commit count from their first offset.
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
	// A group without members exists as long as it has commits.
	g, err := kafka.NewAdmin(t).Group(ctx, name)
	if errors.Is(err, kafka.ErrGroupMissing) {
		return g, fmt.Errorf("group %s does not exist: see eventbus groups list", name)
	}
	return g, err
}

// printGroup prints a group for people. Lag in a partition that no member owns is
// coloured, since it can only grow.
func (a *app) printGroup(d *groupDescription) error {
	if err := a.say("%s  %s, %s, lag %d, coordinated by broker %d", a.paint(d.Group, text.Bold), d.State, counted(len(d.Members), "member"), d.Lag, d.Coordinator); err != nil {
		return err
	}
	var rows []table.Row
	for _, m := range d.Members {
		rows = append(rows, table.Row{m.ID, m.InstanceID, m.ClientID, m.Library, m.Host, m.Partitions})
	}
	if len(rows) > 0 {
		if err := a.printTable(table.Row{"member", "instance", "client", "library", "host", "partitions"}, rows); err != nil {
			return err
		}
	}
	rows = nil
	for _, p := range d.Partitions {
		committed := fmt.Sprint(p.Committed)
		// A member owns the partition but has not committed yet.
		if p.Committed < 0 {
			committed = "none"
		}
		// A number of this program, so it needs no escaping before it is coloured.
		lag := shown(fmt.Sprint(p.Lag))
		if p.Lag > 0 && p.Member == "" {
			lag = a.paint(string(lag), text.FgYellow)
		}
		rows = append(rows, table.Row{p.Topic, p.Partition, committed, p.End, lag, p.Ahead, p.Parked, p.Member, a.paint(p.Problem, text.FgRed)})
	}
	return a.printTable(table.Row{"topic", "partition", "committed", "end", "lag", "ahead", "parked", "member", ""}, rows)
}
