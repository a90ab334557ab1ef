package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/internal/grouplag"
	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/transport"
)

// reset holds the command's flags.
type reset struct {
	// to is the text of --to, which moves resolves. An offset applies to all partitions.
	to string
	// topics are names. They are required, so that nobody resets everything by accident.
	topics []string
	// partitions restricts all topics; empty means all partitions.
	partitions []int32
}

// newGroupsResetCommand returns the command that moves a group's commits.
func newGroupsResetCommand(a *app) *cobra.Command {
	var r reset
	c := &cobra.Command{
		Use:   "reset GROUP --topic TOPIC --to WHERE",
		Short: "Set a group back or ahead; its members have to be stopped",
		Long: `Commit other offsets for a group that has no members, so that they go on there
when they start again. What is finished beyond the commits is forgotten: a group
that is set back handles it again. Look with --dry-run first.`,
		Example: `  eventbus groups reset mailer-prod --topic prod.sales.public.customers.v1 --to 2026-11-23T08:00:00Z --dry-run
  eventbus groups reset mailer-prod --topic prod.sales.public.customers.v1 --to 2h --yes`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: once(a.groupNames),
		RunE: a.action(func(ctx context.Context, args []string) error { return a.resetGroup(ctx, args[0], &r) }),
	}
	flags := c.Flags()
	flags.StringVar(&r.to, "to", "", "`where` to: earliest, latest, a time (RFC 3339), a duration ago (2h), or an offset (required)")
	flags.StringSliceVar(&r.topics, "topic", nil, "`topics` to set back or ahead (required)")
	flags.Int32SliceVar(&r.partitions, "partition", nil, "only these `partitions`")
	complete(c, "topic", a.topicNames)
	complete(c, "to", a.fixed("earliest", "latest", "1h", "24h"))
	return c
}

// move is the change of one partition: its commit before and after.
type move struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// From is −1 without a commit.
	From int64 `json:"from"`
	To   int64 `json:"to"`
	// Again and Passed are how many offsets the group will read again, or pass
	// over without handling them.
	Again  int64 `json:"again"`
	Passed int64 `json:"passed"`
}

// resetGroup shows the moves, asks, and commits them. A dry run works while members run.
// The change itself does not, since a member would overwrite it with its own position;
// the broker refuses it too.
func (a *app) resetGroup(ctx context.Context, group string, r *reset) error {
	// Checked here rather than by required flags, for one message with both names.
	if r.to == "" || len(r.topics) == 0 {
		return misuse("groups reset needs --topic and --to: name what to move, and where to")
	}
	t, err := a.transport(ctx)
	if err != nil {
		return err
	}
	g, err := a.oneGroup(ctx, t, group)
	if err != nil {
		return err
	}
	if err := a.idle(&g); err != nil {
		return err
	}
	moves, err := a.moves(ctx, t, group, r)
	if err != nil {
		return err
	}
	var rows []table.Row
	commits := make([]transport.Commit, 0, len(moves))
	// Sums for the question: how much is read again, and how much never.
	again, passed := int64(0), int64(0)
	for _, m := range moves {
		from := strconv.FormatInt(m.From, 10)
		if m.From < 0 {
			from = "none"
		}
		rows = append(rows, table.Row{m.Topic, m.Partition, from, m.To, m.Again, m.Passed})
		commits = append(commits, transport.Commit{
			Partition: transport.Partition{Topic: m.Topic, Partition: m.Partition}, Offset: m.To, LeaderEpoch: -1,
			// LeaderEpoch −1 is Kafka's "unknown". Empty metadata drops the progress beyond the old
			// commit.
		})
		again, passed = again+m.Again, passed+m.Passed
	}
	if err := a.show(moves, table.Row{"topic", "partition", "from", "to", "again", "passed over"}, rows); err != nil || a.dryRun {
		return err
	}
	// Members may start while the question is open: then the broker refuses the change.
	if err := a.confirm(ctx, "Move group %s: %s read again, %d passed over", group, counted(again, "offset"), passed); err != nil {
		return err
	}
	if err := kafka.NewAdmin(t).ResetGroup(ctx, group, commits...); err != nil {
		return err
	}
	// On stderr, since stdout has the moves already, as JSON for programs.
	a.note("Group %s is moved.", group)
	return nil
}

// idle returns an error if a group has members, except in a dry run. Checking this before
// the work makes the answer quick; the broker enforces it.
func (a *app) idle(g *kafka.Group) error {
	if len(g.Members) == 0 || a.dryRun {
		return nil
	}
	return fmt.Errorf("group %s has %s (%s): %w", g.Name, counted(len(g.Members), "member"), g.Members[0].ClientID, kafka.ErrGroupBusy)
}

// moves resolves --to and returns the change of each partition. It changes nothing. Its
// error names a partition whose log does not have the requested offset.
func (a *app) moves(ctx context.Context, t *kafka.Transport, group string, r *reset) ([]move, error) {
	// --to has the same forms as tail's --from, so what tail showed can be moved to.
	where := tail{from: r.to}
	start, offset, err := where.start(time.Now())
	if err != nil {
		return nil, misuse("--to %s: write earliest, latest, a time such as 2006-01-02T15:04:05Z, a duration such as 2h, or an offset", r.to)
	}
	var partitions []transport.Partition
	for _, topic := range r.topics {
		info, err := a.oneTopic(ctx, t, topic)
		if err != nil {
			return nil, err
		}
		for _, p := range grouplag.Partitions(info) {
			// A number that only some of the topics have restricts only those.
			if len(r.partitions) == 0 || slices.Contains(r.partitions, p.Partition) {
				partitions = append(partitions, p)
			}
		}
	}
	if len(partitions) == 0 {
		return nil, misuse("--partition: the topics have none of these")
	}
	// The end is a valid place, as for latest: what is published next is read.
	first, end, err := grouplag.Edges(ctx, t, partitions...)
	if err != nil {
		return nil, err
	}
	// A time after the last record leads to the end.
	to, err := t.Admin().Offsets(ctx, start, partitions...)
	if err != nil {
		return nil, err
	}
	commits, err := t.Admin().Committed(ctx, group, r.topics...)
	if err != nil {
		return nil, err
	}
	var moves []move
	for _, p := range partitions {
		m := move{Topic: p.Topic, Partition: p.Partition, From: -1, To: to[p]}
		if offset >= 0 {
			// Outside the log, members would begin by their own policy rather than where the operator
			// wants.
			if offset < first[p] || offset > end[p] {
				return nil, fmt.Errorf("%s has offsets from %d up to %d: %d lies outside; name other --partition or --to", p, first[p], end[p], offset)
			}
			m.To = offset
		}
		// A group without a commit, or with one that retention overtook, would begin at the first
		// offset.
		from := first[p]
		if c, ok := commits[p]; ok {
			m.From = c.Offset
			from = max(c.Offset, first[p])
		}
		m.Again, m.Passed = max(from-m.To, 0), max(m.To-from, 0)
		moves = append(moves, m)
	}
	return moves, nil
}

// newGroupsDeleteCommand returns the command that deletes a group.
func newGroupsDeleteCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "delete GROUP",
		Short: "Delete a group and all that it has committed; its members have to be stopped",
		Long: `Delete a group that has no members: its offsets, what is finished beyond them, how
often waiting events were tried, and the types that it handled lately. If members
start again, the group begins by StartAt: from the first record that is left, or with
what comes from then on. Topics stay, those of its dead letters and retries too, and
so do decisions about letters. A retry topic is read from its beginning, so events that
were brought back are handled once more. Look with --dry-run first.`,
		Example: `  eventbus groups delete billing-trial --dry-run
  eventbus groups delete billing-trial --yes`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: once(a.groupNames),
		RunE: a.action(func(ctx context.Context, args []string) error { return a.deleteGroup(ctx, args[0]) }),
	}
}

// deleteGroup shows what the group has committed, asks, and deletes it. A dry run works while
// members run; the deletion does not.
func (a *app) deleteGroup(ctx context.Context, name string) error {
	t, err := a.transport(ctx)
	if err != nil {
		return err
	}
	g, err := a.oneGroup(ctx, t, name)
	if err != nil {
		return err
	}
	if err := a.idle(&g); err != nil {
		return err
	}
	partitions, err := grouplag.Of(ctx, t, name, nil)
	if err != nil {
		return err
	}
	// Without a commit there is nothing to lose.
	partitions = slices.DeleteFunc(partitions, func(p grouplag.Partition) bool { return p.Committed < 0 })
	var rows []table.Row
	ahead, parked := int64(0), 0
	for _, p := range partitions {
		rows = append(rows, table.Row{p.Topic, p.Partition, p.Committed, p.End, p.Lag, p.Ahead, p.Parked})
		ahead, parked = ahead+p.Ahead, parked+p.Parked
	}
	if err := a.show(partitions, table.Row{"topic", "partition", "committed", "end", "lag", "ahead", "parked"}, rows); err != nil {
		return err
	}
	means := "members that start again begin by StartAt"
	// These never have members, and look like groups that nobody needs.
	if name == redrive.Group || name == redrive.GroupKept {
		a.note("Lost: decisions about letters that earlier versions made, and the marks by which it is noticed that others are missing from topic %s.", redrive.Topic)
		means = "letters that were decided may be open again, also those that were brought back"
	} else {
		a.note("Lost: the offsets of %s, %s finished beyond them, the attempts of %s, and the types that the group handled lately.",
			counted(len(partitions), "partition"), counted(ahead, "event"), counted(parked, "waiting event"))
		a.note("Kept: topics, those of dead letters and retries too, and decisions about letters. Members that start again handle what is in retry topics once more.")
	}
	if a.dryRun {
		return nil
	}
	if err := a.confirm(ctx, "Delete group %s: %s", name, means); err != nil {
		return err
	}
	// Members may start while the question is open: then the broker refuses the deletion.
	if err := kafka.NewAdmin(t).DeleteGroup(ctx, name); err != nil {
		return err
	}
	a.note("Group %s is deleted.", name)
	return nil
}
